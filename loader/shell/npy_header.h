/*
 * npy_header.h - the first bytes of a .npy file of uint8; the array follows in C order.
 * Format: NumPy Enhancement Proposal 1, version 1.0 of the format.
 */
#ifndef CROPRING_NPY_HEADER_H
#define CROPRING_NPY_HEADER_H

#include <stdint.h>

enum { NPY_HEADER_BYTES = 128 }; /* for any count, so that it can be written again when that is known */

/* For an array of (count, height, width, channels). */
void npy_header_make(uint8_t header[NPY_HEADER_BYTES], uint64_t count, uint32_t height, uint32_t width, uint32_t channels);

#endif
