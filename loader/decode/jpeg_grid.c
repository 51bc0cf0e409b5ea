/* Stage 3 of 5, decode: a region in, the MCUs that it takes out.  Any thread. */
#include "loader/decode/jpeg_grid.h"

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t divide_up(uint32_t a, uint32_t b)
{
	return a / b + (a % b != 0);
}

void jpeg_grid_count(struct jpeg_grid *grid)
{
	grid->mcus_across = divide_up(grid->width_px, grid->mcu_width_px);
	grid->mcu_rows = divide_up(grid->height_px, grid->mcu_height_px);
}

/*
 * The MCUs of columns or rows `begin` to before `begin + length` of a reduced picture, and, of larger MCUs than a block, one more on each
 * side.
 */
static void cover_axis(int32_t begin, int32_t length, uint32_t eighths, uint32_t mcu_px, uint32_t mcu_count, uint32_t *cover_begin,
                       uint32_t *cover_end)
{
	uint32_t scaled_mcu_px = mcu_px / 8 * eighths; /* libjpeg reduces each block by itself */
	uint32_t beside = mcu_px > 8;

	*cover_begin = (uint32_t)begin / scaled_mcu_px;
	*cover_end = (uint32_t)(begin + length - 1) / scaled_mcu_px + 1;
	*cover_begin -= least(*cover_begin, beside);
	*cover_end = least(*cover_end + beside, mcu_count);
}

struct jpeg_cover jpeg_grid_cover(const struct jpeg_grid *grid, const struct box *region, uint32_t eighths)
{
	struct jpeg_cover cover;

	cover_axis(region->x, region->width, eighths, grid->mcu_width_px, grid->mcus_across, &cover.column_begin,
	           &cover.column_end);
	cover_axis(region->y, region->height, eighths, grid->mcu_height_px, grid->mcu_rows, &cover.row_begin, &cover.row_end);
	return cover;
}

static void widen(uint32_t *begin, uint32_t *end, uint32_t step, uint32_t last)
{
	*begin -= *begin % step;
	*end = least(divide_up(*end, step) * step, last);
}

void jpeg_grid_widen_columns(const struct jpeg_grid *grid, struct jpeg_cover *cover, uint32_t step_mcus)
{
	widen(&cover->column_begin, &cover->column_end, step_mcus, grid->mcus_across);
}

uint32_t jpeg_grid_interval_count(const struct jpeg_grid *grid)
{
	return divide_up(grid->mcus_across * grid->mcu_rows, grid->restart_mcus);
}

void jpeg_grid_intervals(const struct jpeg_grid *grid, const struct jpeg_cover *cover, uint32_t row, uint32_t *begin, uint32_t *end)
{
	*begin = (row * grid->mcus_across + cover->column_begin) / grid->restart_mcus;
	*end = (row * grid->mcus_across + cover->column_end - 1) / grid->restart_mcus + 1;
}

bool jpeg_grid_widen_to_intervals(const struct jpeg_grid *grid, struct jpeg_cover *cover)
{
	uint32_t restart = grid->restart_mcus, across = grid->mcus_across;

	if (across % restart == 0) {
		jpeg_grid_widen_columns(grid, cover, restart);
		return true;
	}
	if (restart % across == 0) {
		cover->column_begin = 0;
		cover->column_end = across;
		widen(&cover->row_begin, &cover->row_end, restart / across, grid->mcu_rows);
		return true;
	}
	return false;
}

uint32_t jpeg_grid_cover_width_px(const struct jpeg_grid *grid, const struct jpeg_cover *cover)
{
	return least(cover->column_end * grid->mcu_width_px, grid->width_px) - cover->column_begin * grid->mcu_width_px;
}

uint32_t jpeg_grid_cover_height_px(const struct jpeg_grid *grid, const struct jpeg_cover *cover)
{
	return least(cover->row_end * grid->mcu_height_px, grid->height_px) - cover->row_begin * grid->mcu_height_px;
}
