/*
 * render.h - a file's bytes in, one row of a batch out: chooses the box, decodes what it needs, resizes, converts.
 *
 * Where decode meets shape; knows nothing of queues, files or the ring.
 */
#ifndef CROPRING_RENDER_H
#define CROPRING_RENDER_H

#include <stddef.h>
#include <stdint.h>

#include "loader/run/cut.h"

/* What is the same for every row; made once, read by all threads. */
struct render_spec {
	struct crop_spec crop;
	struct cut_rule cut;
	struct converter converter;
	enum target_dtype target_dtype;
	size_t image_bytes, target_bytes; /* of one row of `images` and of `targets` */
	uint64_t max_pixels;
	struct jpeg_index_store *jpeg_indexes; /* or NULL; of whoever made the spec, as the next one */
	struct segment_store *segment_store;
	uint32_t item_timeout_ms;
};

void render_spec_init(struct render_spec *spec, const struct options *options);

/* Where a row's values go. */
struct render_row {
	uint8_t *image;
	int32_t *box;         /* x, y, width, height */
	int32_t *source_size; /* height, width */
	uint8_t *flipped;
	uint8_t *target; /* NULL: there are no targets */
};

/* A sample's files, one after the other. */
enum render_half { RENDER_IMAGE, RENDER_TARGET };

/* Nanoseconds that a row took, by stage, though they take turns. */
struct render_times {
	uint64_t decode_ns, shape_ns;
};

/* One per thread: codec state and scratch memory. */
struct renderer;

struct renderer *renderer_open(const struct render_spec *spec);
void renderer_close(struct renderer *renderer);

/* On anything but ITEM_OK the row's values are undefined; render_blank() makes them zeros. */
enum item_status renderer_run(struct renderer *renderer, const struct file_bytes *file, const struct crop_ask *ask,
                              const struct render_row *row, struct render_times *times);

/* The same for the row's target, once its image is there: see render_target.h. */
enum item_status renderer_run_target(struct renderer *renderer, const struct file_bytes *file, const struct crop_ask *ask,
                                     const struct render_row *row, struct render_times *times);

/*
 * What either needs of its file for what is asked of it, besides the first head_bytes.  False: the whole file.
 * True: *part, as decode_part() tells it.  Any thread; spends no memory.
 */
bool render_part(const struct render_spec *spec, enum render_half half, const struct crop_ask *ask, const uint8_t *head,
                 size_t head_bytes, struct file_part *part);

/*
 * The same for an image that a pack knows, before anything of it is read.  False: the whole image.  True: *runs, from malloc, as
 * decode_runs() tells them.
 */
bool render_runs(const struct render_spec *spec, enum render_half half, const struct crop_ask *ask, const struct segments *segments,
                 struct file_runs **runs);

/* The same for a loose file whose segments an earlier visit has found, as decode_runs_again() tells them. */
bool render_runs_again(const struct render_spec *spec, enum render_half half, const struct crop_ask *ask,
                       const struct segments *segments, struct file_runs **runs);

/* The last failure in the codec's own words, or "". */
const char *renderer_reason(const struct renderer *renderer);

void render_blank(const struct render_spec *spec, const struct render_row *row);

#endif
