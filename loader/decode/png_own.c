/*
 * Stage 3 of 5, decode: a PNG in memory in, the pixels of a region out.  Any thread, one workspace each.
 *
 * The whole file's rows, from the first on.
 */
#include "loader/decode/png_own.h"
#include "loader/decode/png_inflate.h"
#include "loader/decode/png_pieces.h"

/* Why not, libpng says. */
static enum item_status read_rows(void *context, uint8_t *to, uint32_t row_count, size_t row_bytes)
{
	struct png_inflate *inflate = context;

	return png_inflate_read(inflate, to, (uint32_t)(row_count * row_bytes)) ? ITEM_OK : ITEM_CORRUPT;
}

bool png_own_rows(struct workspace *workspace, const struct file_bytes *file, const struct png_header *header,
                  const struct decode_want *want, const struct decode_sink *sink)
{
	bool to_the_end = (uint32_t)want->region.y + (uint32_t)want->region.height == header->height_px;
	struct png_row_source source = {.read = read_rows};
	struct png_inflate *inflate;
	struct png_idat idat;

	if (header->interlaced)
		return false;
	if (workspace_reserve(workspace, &workspace->inflate, 1, sizeof *inflate) != ITEM_OK)
		return false;
	source.context = inflate = (struct png_inflate *)(void *)workspace->inflate.data;
	png_idat_open(&idat, file->data + header->idat_at, file->byte_count - header->idat_at);
	return png_inflate_open(inflate, &idat, to_the_end, workspace->deadline_ns) &&
	       png_pieces_rows(workspace, header, &source, want, sink) == ITEM_OK &&
	       (to_the_end ? png_inflate_finish(inflate) : png_inflate_stop(inflate));
}
