/* Stage 3 of 5, decode: a JPEG and a region in, a smaller JPEG with that region out.  One thread per workspace. */
#include "loader/decode/jpeg_splice_internal.h"

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The MCUs of columns or rows `begin` to before `end` of a reduced picture, and one more on each side. */
static void cover_axis(int32_t begin, int32_t length, uint32_t eighths, uint32_t mcu_px, uint32_t mcu_count, uint32_t *cover_begin,
                       uint32_t *cover_end)
{
	uint32_t scaled_mcu_px = mcu_px / 8 * eighths; /* libjpeg reduces each block by itself */

	*cover_begin = (uint32_t)begin / scaled_mcu_px;
	*cover_end = (uint32_t)(begin + length - 1) / scaled_mcu_px + 1;
	*cover_begin -= *cover_begin > 0;
	*cover_end = least(*cover_end + 1, mcu_count);
}

uint32_t jpeg_cover_width_px(const struct jpeg_header *header, const struct jpeg_cover *cover)
{
	return least(cover->column_end * header->mcu_width_px, header->width_px) - cover->column_begin * header->mcu_width_px;
}

uint32_t jpeg_cover_height_px(const struct jpeg_header *header, const struct jpeg_cover *cover)
{
	return least(cover->row_end * header->mcu_height_px, header->height_px) - cover->row_begin * header->mcu_height_px;
}

bool jpeg_cover_pays(const struct workspace *workspace, const struct jpeg_header *header, const struct jpeg_cover *cover,
                     const struct file_bytes *file, double least_part)
{
	double columns = (double)(cover->column_end - cover->column_begin) / header->mcus_across;
	double part = 1 - columns * (cover->row_end - cover->row_begin) / cover->row_end;
	/* libjpeg goes through all columns, from the first row to the last one here.  As if all MCUs had the same size. */
	double passed_bytes = (double)(file->byte_count - header->scan_at) * cover->row_end / header->mcu_rows;

	return part >= least_part && passed_bytes * part >= (double)jpeg_index_store_least_gain_bytes(workspace->jpeg_indexes);
}

bool jpeg_splice(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                 const struct decode_want *want, struct jpeg_splice *splice)
{
	const struct box *region = &want->region;
	uint32_t eighths = want->scale_eighths;
	struct jpeg_header header;
	struct jpeg_cover cover;

	if (!workspace->jpeg_indexes || file->gap_bytes > 0 || !jpeg_header_read(file->data, file->byte_count, &header) ||
	    header.width_px != info->width_px || header.height_px != info->height_px)
		return false;
	cover_axis(region->x, region->width, eighths, header.mcu_width_px, header.mcus_across, &cover.column_begin,
	           &cover.column_end);
	cover_axis(region->y, region->height, eighths, header.mcu_height_px, header.mcu_rows, &cover.row_begin, &cover.row_end);
	if (!(header.restart_mcus > 0 ? jpeg_splice_by_restart_markers(workspace, file, &header, &cover, &splice->file)
	                              : jpeg_splice_by_index(workspace, file, &header, &cover, &splice->file)))
		return false;
	splice->info = *info;
	splice->info.width_px = jpeg_cover_width_px(&header, &cover);
	splice->info.height_px = jpeg_cover_height_px(&header, &cover);
	splice->want = *want;
	splice->want.region.x -= (int32_t)(cover.column_begin * (header.mcu_width_px / 8 * eighths));
	splice->want.region.y -= (int32_t)(cover.row_begin * (header.mcu_height_px / 8 * eighths));
	return true;
}
