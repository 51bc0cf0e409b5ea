/* Part of `cropring pack`: how long a restart interval is to be.  Pure; any thread. */
#include "loader/pack/jpeg_interval.h"

enum { AUTO_SEGMENT_PX = 160, MOST_INTERVAL_MCUS = 65535 };

/* The divisor of `across` nearest to `wanted`, from three quarters to four thirds of it; `wanted` if there is none. */
static uint32_t divisor_near(uint32_t across, uint32_t wanted)
{
	for (uint32_t off = 0; off <= wanted / 3; off++) {
		if (off <= wanted / 4 && across % (wanted - off) == 0)
			return wanted - off;
		if (across % (wanted + off) == 0)
			return wanted + off;
	}
	return wanted;
}

uint32_t jpeg_interval_mcus(const struct pack_rules *rules, const struct jpeg_grid *grid, uint64_t scan_bytes)
{
	uint32_t wanted_px = rules->segment_px == 0 ? AUTO_SEGMENT_PX : rules->segment_px, wanted;

	(void)scan_bytes;
	if (rules->segment_px == PACK_NO_SEGMENTS)
		return 0;
	wanted = wanted_px / grid->mcu_width_px + (wanted_px % grid->mcu_width_px >= grid->mcu_width_px / 2);
	if (wanted == 0)
		wanted = 1;
	if (wanted >= grid->mcus_across)
		return grid->mcu_rows > 1 ? grid->mcus_across : 0;
	return divisor_near(grid->mcus_across, wanted);
}
