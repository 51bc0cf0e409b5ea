/*
 * listing.h - what one directory holds: the names of its sub-directories and of its images, sorted bytewise.
 *
 * Which files count as images is decided by name, as in torchvision's ImageFolder.
 */
#ifndef CROPRING_LISTING_H
#define CROPRING_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/plan/link_targets.h"

/* For messages. */
#define LISTING_EXTENSIONS ".jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp, in any case"

struct listing_entry {
	uint64_t key;  /* what eight bytes of the name tell of its order */
	size_t offset; /* where it begins */
};

/* Many names in little memory. */
struct listing_names {
	char *bytes;
	size_t used_bytes, capacity_bytes;
	struct listing_entry *entries;
	size_t count, capacity;
};

struct listing {
	struct listing_names directories, images;
	struct link_targets *link_targets; /* hears of every link to one of them; NULL: nobody does */
};

/*
 * Replaces *listing (all zero before the first time) by the names in the directory behind directory_fd, which is closed in any
 * case.  0 or a negative errno.
 */
int listing_read(struct listing *listing, int directory_fd);
void listing_close(struct listing *listing);

/* Valid until the next listing_read(). */
const char *listing_name(const struct listing_names *names, size_t index);

/* The ending is in lower case, the name in any. */
bool listing_ends_with(const char *name, const char *ending);
bool listing_is_image_name(const char *name);

#endif
