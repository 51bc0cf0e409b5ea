/*
 * contact_sheet.h - crops in, one PNG with all of them in rows out, in reading order, without borders.  Places that are left over are black.
 *
 * The crops stay in memory until the sheet is written, because its shape depends on their number: at most CONTACT_SHEET_BYTES.
 */
#ifndef CROPRING_CONTACT_SHEET_H
#define CROPRING_CONTACT_SHEET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum { CONTACT_SHEET_BYTES = 256 << 20, CONTACT_SHEET_SIDE_PX = 65535 };

struct contact_sheet {
	uint32_t height_px, width_px, channels; /* of each crop */
	uint32_t columns;                       /* 0: as many as make the sheet nearly square */
	uint8_t *pixels;
	uint64_t count, capacity; /* crops */
};

/* -EINVAL when a sheet of so many crops would be too large. */
int contact_sheet_check(const struct contact_sheet *sheet, uint64_t count, struct err *err);

/* Adds crops that follow each other in memory.  -EINVAL, -ENOMEM. */
int contact_sheet_add(struct contact_sheet *sheet, const uint8_t *pixels, uint64_t count, struct err *err);

/* Writes the PNG.  -ENOMEM, or the error of the file that could not take it. */
int contact_sheet_write(const struct contact_sheet *sheet, FILE *file);

void contact_sheet_close(struct contact_sheet *sheet);

#endif
