/* pack_jpeg_segments.h - part of `cropring pack`: a JPEG that was just written in, the table of its restart intervals out. */
#ifndef CROPRING_PACK_JPEG_SEGMENTS_H
#define CROPRING_PACK_JPEG_SEGMENTS_H

#include "loader/pack/image/pack_image.h"

struct pack_jpeg_parts {
	uint32_t interval_mcus;
	/* From the first on to before the second there is metadata, which crops are not to read; both alike: there is none. */
	size_t head_bytes, second_head_at;
};

/* Sets out->table, for out->file; or out->outcome and reason, if that is not as it should be.  -ENOMEM. */
int pack_jpeg_segments(const struct pack_jpeg_parts *parts, struct packed_image *out);

#endif
