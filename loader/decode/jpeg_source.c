/* Stage 3 of 5, decode: a file in memory in, what libjpeg reads from out.  Any thread. */
#include "loader/decode/jpeg_source.h"

#include <jerror.h>

static void on_start_or_end(j_decompress_ptr codec)
{
	(void)codec; /* all bytes are there from the start */
}

static boolean on_empty(j_decompress_ptr codec)
{
	ERREXIT(codec, JERR_INPUT_EOF);
	return FALSE;
}

static void on_skip(j_decompress_ptr codec, long byte_count)
{
	if (byte_count <= 0)
		return;
	if ((unsigned long)byte_count > codec->src->bytes_in_buffer)
		ERREXIT(codec, JERR_INPUT_EOF);
	codec->src->next_input_byte += byte_count;
	codec->src->bytes_in_buffer -= (size_t)byte_count;
}

void jpeg_source_init(struct jpeg_source_mgr *source, const uint8_t *bytes, size_t byte_count)
{
	*source = (struct jpeg_source_mgr){
		.next_input_byte = bytes,
		.bytes_in_buffer = byte_count,
		.init_source = on_start_or_end,
		.fill_input_buffer = on_empty,
		.skip_input_data = on_skip,
		.resync_to_restart = jpeg_resync_to_restart,
		.term_source = on_start_or_end,
	};
}
