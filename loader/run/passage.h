/*
 * passage.h - stages 3 and 4 for one picture: a file's bytes and a cut in, the resized pixels out.
 *
 * One per thread: it owns the codecs, the resampler and the memory between them.
 */
#ifndef CROPRING_PASSAGE_H
#define CROPRING_PASSAGE_H

#include "loader/run/cut.h"

struct passage;

/* NULL when memory is short. */
struct passage *passage_open(const struct decode_limits *limits);
void passage_close(struct passage *passage);

/* The header alone; refuses what no resize here could take. */
enum item_status passage_probe(struct passage *passage, const struct file_bytes *file, struct image_info *info);

/*
 * Fills `out` with cut->y.out_px rows of cut->x.out_px * channels bytes.  *shape_ns: what of the time was not decoding.  On anything
 * but ITEM_OK `out` is undefined.
 */
enum item_status passage_run(struct passage *passage, const struct file_bytes *file, const struct cut *cut, uint32_t channels,
                             uint8_t *out, uint64_t *shape_ns);

/* Puts the reason of a failure into words and returns `status`. */
__attribute__((format(printf, 3, 4))) enum item_status passage_fail(struct passage *passage, enum item_status status,
                                                                    const char *format, ...);

/* The last failure's reason, or "". */
const char *passage_reason(const struct passage *passage);

#endif
