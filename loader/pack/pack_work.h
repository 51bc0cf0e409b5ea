/* pack_work.h - part of `cropring pack`: one picture, from its file to what is stored of it.  Each thread for itself. */
#ifndef CROPRING_PACK_WORK_H
#define CROPRING_PACK_WORK_H

#include <stdbool.h>

#include "loader/pack/pack_read.h"
#include "loader/pack/pack_writer.h"

/* What all threads work by. */
struct pack_job {
	const struct pack_pictures *pictures;
	struct pack_rules rules;
	enum pack_verify verify;
	uint64_t max_file_bytes;
	bool skip_unreadable; /* a file that cannot be read becomes an empty one */
};

/* A picture, ready to write. */
struct pack_result {
	int rc;          /* -EIO: its file cannot be read; -ENOMEM, -EMFILE, -ENFILE; `err` has the sentence */
	bool is_skipped; /* it could not be read, which `err` tells, and is stored as an empty file */
	struct err err;
	struct pack_picture picture; /* points into what follows */
	struct packed_image packed;
	uint8_t *source;
	char *name;
	uint64_t held_bytes; /* of memory */
};

struct pack_work {
	struct pack_worker *worker;
	uint64_t picture;
	struct pack_read reading;
	uint8_t head[PACK_HEAD_BYTES];
};

/* NULL: memory is short. */
struct pack_work *pack_work_open(const struct pack_job *job);
void pack_work_close(struct pack_work *work);

/* The first half: opens the file.  The memory that the second half will take at most. */
uint64_t pack_work_begin(struct pack_work *work, const struct pack_job *job, uint64_t picture, struct pack_result *result);

/* The second half; *result is to be closed. */
void pack_work_end(struct pack_work *work, const struct pack_job *job, struct pack_result *result);

/* In place of the second half. */
void pack_work_drop(struct pack_work *work);

void pack_result_close(struct pack_result *result);

#endif
