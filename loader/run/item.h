/* item.h - one row of one batch on its way through the stages, and the batch that it belongs to. */
#ifndef CROPRING_ITEM_H
#define CROPRING_ITEM_H

#include <stdatomic.h>
#include <stdint.h>

#include "loader/fetch/fetch.h"
#include "loader/item_status.h"
#include "loader/plan/crop.h"
#include "loader/plan/dataset.h"
#include "loader/run/render.h"
#include "shmring/shmring.h"

struct batch;

/* Owned by one stage at a time: it moves by being pushed on a queue. */
struct item {
	struct item *next; /* queue's link */
	struct batch *batch;
	uint32_t row;
	uint64_t position;     /* in the epoch's order */
	uint64_t planned;      /* the sample that stands there */
	uint64_t sample;       /* the one that is being tried, */
	struct crop_ask ask;   /* and what is asked of it */
	const char *path;      /* --requests paths: the file, as the reader named it, which takes no substitute; else NULL, */
	int64_t label;         /* and its label */
	enum render_half half; /* which of its files is on its way: the target follows the image */
	uint32_t attempt;      /* 0: the planned sample; else the n-th substitute */
	uint8_t status;        /* what batch.status will be: the planned sample's failure, and flags */
	enum item_status fetched;
	int error;                   /* the errno behind `fetched` */
	const char *reason;          /* why it failed, when that was known before any file was read; else NULL */
	struct fetch_buffer *buffer; /* the file's bytes, between fetch and decode; */
	struct segments segments;    /* if it holds runs, they are of these */
	uint64_t asked_ns;           /* when its file was asked for, if that is recorded */
	bool has_stamp;
	struct file_stamp stamp; /* how the file was when it was opened for this */
	bool is_revisit;         /* what is read of it was chosen by what an earlier visit has found; */
	bool reads_anew;         /* that did not fit: now all of it is read, and said what is wrong with it, if anything is */
};

/* One per slot, used again and again. */
struct batch {
	struct shmring_slot slot;
	uint32_t epoch, row_count;
	_Atomic uint32_t rows_left; /* the thread that takes it to 0 commits the slot */
	struct item *items;
	void *request; /* that asked for it, until it is committed; items' paths lie in it.  NULL: none did */
};

/* Where the file lies that the item is about now.  Returns the folder that its path begins at. */
int item_file(const struct item *item, const struct dataset *dataset, struct dataset_file *file);

/* The bytes that were fetched, for decode. */
struct file_bytes item_bytes(const struct item *item, const struct dataset *dataset);

/* Gives its bytes back. */
void item_drop_bytes(struct item *item, struct fetch *fetch);

/* That folder, as the user named it. */
const char *item_root(const struct item *item, const struct dataset *dataset);

int64_t item_label(const struct item *item, const struct dataset *dataset);

/* For messages; may be written into `text`. */
const char *item_name(const struct item *item, const struct dataset *dataset, char *text, size_t text_bytes);

#endif
