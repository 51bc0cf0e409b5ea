/*
 * pack_place.h - part of `cropring pack`: OUT, the folder OUT.partial beside it in which all is written, and the last step, in which
 * files get their names.  One thread.
 */
#ifndef CROPRING_PACK_PLACE_H
#define CROPRING_PACK_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct pack_place {
	const char *out;  /* the caller's */
	char *partial;    /* "OUT.partial", */
	const char *name; /* and OUT's last part */
	int folder_fd;    /* of OUT, */
	int partial_fd;   /* and of the packing */
};

/*
 * Makes OUT.partial, or, with `resume`, takes the one that is there.  -EINVAL: OUT's name will not do; -EEXIST: OUT or its first shard
 * is there, or OUT.partial without `resume`, or as something else; -ENOENT, -EACCES, ...  *place is to be closed in any case.
 */
int pack_place_open(struct pack_place *place, const char *out, bool resume, struct err *err);
void pack_place_close(struct pack_place *place);

/* -EEXIST: OUT or its first shard is there: for who goes on with what is not whole yet. */
int pack_place_check_free(const struct pack_place *place, struct err *err);

/*
 * Files get their names, the pack last, and OUT.partial goes.  What an earlier call did before it was interrupted stays.  -EEXIST: a
 * file of that name is there.
 */
int pack_place_publish(struct pack_place *place, uint64_t shard_count, const uint8_t id[16], struct err *err);

#endif
