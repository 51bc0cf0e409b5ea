/*
 * info_loose.h - part of `cropring info`: images that are in no pack in; what they are, and what `cropring pack` would make of them,
 * out.  One thread.
 */
#ifndef CROPRING_INFO_LOOSE_H
#define CROPRING_INFO_LOOSE_H

#include "loader/pack/pack_pictures.h"
#include "loader/shell/info_flags.h"
#include "loader/shell/info_report.h"

/* A sample of a source's pictures.  -EINTR: a signal came. */
int info_source(struct info_report *report, const struct info_flags *flags, const struct pack_pictures *pictures, struct err *err);

/* The image that flags->path names.  -ENODATA: it is no image that is read here. */
int info_file(struct info_report *report, const struct info_flags *flags, struct err *err);

#endif
