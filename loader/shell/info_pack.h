/* info_pack.h - part of `cropring info`: a pack in, what is in it out.  One thread. */
#ifndef CROPRING_INFO_PACK_H
#define CROPRING_INFO_PACK_H

#include "loader/pack/pack_pictures.h"
#include "loader/shell/info_flags.h"
#include "loader/shell/info_report.h"

/* Fills the report from the pack's index and headers, and from the tables of a sample; images are not read. */
int info_pack(struct info_report *report, const struct info_flags *flags, const struct pack_pictures *pictures, struct err *err);

/* --verify: reads all of it.  -EINTR: a signal came. */
int info_verify(struct info_report *report, const struct info_flags *flags, const struct pack_pictures *pictures, struct err *err);

/* Which picture is the i-th of a sample of `count` among `all`: one out of each stretch of the list. */
uint64_t info_sample_place(uint64_t seed, uint64_t all, uint64_t count, uint64_t i);

#endif
