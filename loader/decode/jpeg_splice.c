/* Stage 3 of 5, decode: a JPEG and a region in, a smaller JPEG with that region out.  One thread per workspace. */
#include "loader/decode/jpeg_splice_internal.h"

bool jpeg_splice_pays(const struct jpeg_grid *grid, const struct jpeg_cover *cover, uint64_t scan_bytes, size_t least_gain_bytes,
                      double least_part)
{
	double columns = (double)(cover->column_end - cover->column_begin) / grid->mcus_across;
	double part = 1 - columns * (cover->row_end - cover->row_begin) / cover->row_end;
	/* libjpeg goes through all columns, from the first row to the last one here.  As if all MCUs had the same size. */
	double passed_bytes = (double)scan_bytes * cover->row_end / grid->mcu_rows;

	return part >= least_part && passed_bytes * part >= (double)least_gain_bytes;
}

void jpeg_splice_describe(const struct jpeg_grid *grid, const struct jpeg_cover *cover, const struct image_info *info,
                          const struct decode_want *want, struct jpeg_splice *splice)
{
	splice->info = *info;
	splice->info.width_px = jpeg_grid_cover_width_px(grid, cover);
	splice->info.height_px = jpeg_grid_cover_height_px(grid, cover);
	splice->want = *want;
	splice->want.region.x -= (int32_t)(cover->column_begin * (grid->mcu_width_px / 8 * want->scale_eighths));
	splice->want.region.y -= (int32_t)(cover->row_begin * (grid->mcu_height_px / 8 * want->scale_eighths));
}

bool jpeg_splice(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                 const struct decode_want *want, struct jpeg_splice *splice)
{
	struct jpeg_header header;
	const struct jpeg_grid *grid = &header.grid;
	struct jpeg_cover cover;

	if (!workspace->jpeg_indexes || file->gap_bytes > 0 || !jpeg_header_read(file->data, file->byte_count, &header) ||
	    grid->width_px != info->width_px || grid->height_px != info->height_px)
		return false;
	cover = jpeg_grid_cover(grid, &want->region, want->scale_eighths);
	if (!(grid->restart_mcus > 0 ? jpeg_splice_by_restart_markers(workspace, file, info, &header, &cover, &splice->file)
	                             : jpeg_splice_by_index(workspace, file, &header, &cover, &splice->file)))
		return false;
	jpeg_splice_describe(grid, &cover, info, want, splice);
	return true;
}
