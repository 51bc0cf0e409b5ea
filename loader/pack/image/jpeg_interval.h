/* jpeg_interval.h - part of `cropring pack`: a JPEG's size in, how many MCUs a restart interval is to have out. */
#ifndef CROPRING_JPEG_INTERVAL_H
#define CROPRING_JPEG_INTERVAL_H

#include <stdint.h>

#include "loader/decode/jpeg_grid.h"
#include "loader/pack/image/pack_image.h"

/* 0: none, for nothing would be won.  scan_bytes: about how long the entropy-coded data is. */
uint32_t jpeg_interval_mcus(const struct pack_rules *rules, const struct jpeg_grid *grid, uint64_t scan_bytes);

#endif
