/*
 * Part of `cropring pack`: how long a restart interval is to be.  Pure; any thread.
 *
 * The shorter, the less is read and decoded beside a crop; and each costs 5 bytes: its marker, half a byte of padding, DC values that
 * begin anew, and 2.2 bytes of the segment table.  `bench/run pack_sizes` has the figures behind the numbers below (bench/README.md).
 */
#include "loader/pack/image/jpeg_interval.h"

#include <stdbool.h>

/*
 * Of colour photographs the width decides: of intervals that are shorter than 96 px, the crop's own MCUs are nearly all that is decoded.
 * Of gray and of flat ones the bytes do: about 4 % of the file at most.  Huffman tables of the picture's own save 1 to 4 % of it, so
 * that a packed file is about as large as its source.
 */
enum { LEAST_PX = 96, LEAST_BYTES = 128 };

/*
 * Of a picture with less of both RandomResizedCrop spares 4 % of the CPU time at most; of 256x256 pixels in 24 KB 9 %, of 320x240
 * in 19 KB 14 %.
 */
enum { LEAST_PICTURE_PX = 100000, LEAST_PICTURE_BYTES = 12000 };

/*
 * Where rows of MCUs do not begin with an interval, the codes are walked through there: RandomResizedCrop then takes 1.04 to 1.28 of
 * the time that a file without intervals takes, and a crop of 224x224 less than a third of that with whole rows in pictures of 2000 px.
 * So only where no interval of up to 1280 px divides the row.
 */
enum { MOST_DIVIDING_PX = 1280 };

static uint32_t divide_up(uint64_t a, uint64_t b)
{
	return (uint32_t)((a + b - 1) / b);
}

/* a : wanted is nearer to 1 than b : wanted. */
static bool is_nearer(uint64_t a, uint64_t b, uint64_t wanted)
{
	return (a > wanted ? a : wanted) * (b < wanted ? b : wanted) < (b > wanted ? b : wanted) * (a < wanted ? a : wanted);
}

/* The divisor of `across` that is nearest to `wanted`, and at least `least`. */
static uint32_t nearest_divisor(uint32_t across, uint32_t wanted, uint32_t least)
{
	uint32_t nearest = across;

	for (uint32_t divisor = least; divisor < across; divisor++) {
		if (across % divisor == 0 && is_nearer(divisor, nearest, wanted))
			nearest = divisor;
	}
	return nearest;
}

static uint32_t choose(const struct jpeg_grid *grid, uint64_t scan_bytes)
{
	uint64_t mcu_count = (uint64_t)grid->mcus_across * grid->mcu_rows;
	uint32_t by_width = divide_up(LEAST_PX, grid->mcu_width_px);
	uint64_t by_bytes = mcu_count * LEAST_BYTES / (scan_bytes + 1);
	uint32_t wanted, least, divisor;

	if ((uint64_t)grid->width_px * grid->height_px < LEAST_PICTURE_PX && scan_bytes < LEAST_PICTURE_BYTES)
		return 0;
	if (by_bytes >= grid->mcus_across || by_width >= grid->mcus_across)
		return grid->mcus_across;
	wanted = by_bytes > by_width ? (uint32_t)by_bytes : by_width;
	least = by_bytes > by_width ? wanted - wanted / 8 : wanted - wanted / 4;
	divisor = nearest_divisor(grid->mcus_across, wanted, least);
	if (divisor * grid->mcu_width_px <= MOST_DIVIDING_PX || divisor <= 2 * wanted)
		return divisor;
	return 2 * wanted; /* for shorter ones would save nothing there */
}

/* As wide as was asked for, but for a divisor of the row from three quarters to four thirds of it. */
static uint32_t obey(const struct jpeg_grid *grid, uint32_t segment_px)
{
	uint32_t wanted = segment_px / grid->mcu_width_px + (segment_px % grid->mcu_width_px >= grid->mcu_width_px / 2), divisor;

	if (wanted == 0)
		wanted = 1;
	if (wanted >= grid->mcus_across)
		return grid->mcus_across;
	divisor = nearest_divisor(grid->mcus_across, wanted, wanted - wanted / 4);
	return 3 * (uint64_t)divisor <= 4 * (uint64_t)wanted ? divisor : wanted;
}

uint32_t jpeg_interval_mcus(const struct pack_rules *rules, const struct jpeg_grid *grid, uint64_t scan_bytes)
{
	uint32_t interval = 0;

	if (rules->segment_px == 0)
		interval = choose(grid, scan_bytes);
	else if (rules->segment_px != PACK_NO_SEGMENTS)
		interval = obey(grid, rules->segment_px);
	return interval < (uint64_t)grid->mcus_across * grid->mcu_rows ? interval : 0; /* one is none */
}
