/*
 * jpeg_grid.h - stage 3 of 5, decode: a JPEG's picture as MCUs, and those that a region takes.  Arithmetic alone; any thread.
 */
#ifndef CROPRING_JPEG_GRID_H
#define CROPRING_JPEG_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/pixels.h"

struct jpeg_grid {
	uint32_t width_px, height_px;
	uint32_t mcu_width_px, mcu_height_px, mcus_across, mcu_rows;
	uint32_t restart_mcus; /* the restart interval; 0: none */
};

/* MCUs from the first to before the end. */
struct jpeg_cover {
	uint32_t column_begin, column_end, row_begin, row_end;
};

/* Sets mcus_across and mcu_rows from the four lengths before them. */
void jpeg_grid_count(struct jpeg_grid *grid);

/*
 * The MCUs of a region of the picture at eighths/8 of its size.  On an axis on which any component may have fewer samples than the picture
 * has pixels, one more on each side where there is one: so upsampling gives the same pixels.
 */
struct jpeg_cover jpeg_grid_cover(const struct jpeg_grid *grid, const struct box *region, uint32_t eighths);

/* Widens the cover's columns to multiples of a number of MCUs, or to the last. */
void jpeg_grid_widen_columns(const struct jpeg_grid *grid, struct jpeg_cover *cover, uint32_t step_mcus);

/* Restart intervals: of a picture that has some.  How many there are. */
uint32_t jpeg_grid_interval_count(const struct jpeg_grid *grid);

/* Those that the cover's MCUs of a row lie in, from the first to before the end. */
void jpeg_grid_intervals(const struct jpeg_grid *grid, const struct jpeg_cover *cover, uint32_t row, uint32_t *begin,
                         uint32_t *end);

/* Widens the cover to whole intervals.  False: they neither divide a row nor are whole rows. */
bool jpeg_grid_widen_to_intervals(const struct jpeg_grid *grid, struct jpeg_cover *cover);

/* Pixels of the cover's picture; at the whole one's right and bottom edge it ends with that. */
uint32_t jpeg_grid_cover_width_px(const struct jpeg_grid *grid, const struct jpeg_cover *cover);
uint32_t jpeg_grid_cover_height_px(const struct jpeg_grid *grid, const struct jpeg_cover *cover);

#endif
