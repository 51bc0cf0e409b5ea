/* stored_image.c - an image of a pack in, its bytes out in pieces, checked as they pass. */
#include "loader/shell/stored_image.h"

#include <errno.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

int stored_image_read(const struct dataset_file *file, void *piece, int (*take)(void *context, const void *data, size_t byte_count),
                      void *context)
{
	XXH3_state_t hash;
	uint64_t done = 0;
	int rc;

	XXH3_INITSTATE(&hash);
	XXH3_64bits_reset(&hash);
	while (done < file->length) {
		uint64_t left = file->length - done;
		size_t wanted = left < STORED_IMAGE_PIECE_BYTES ? (size_t)left : STORED_IMAGE_PIECE_BYTES;
		ssize_t got = pread(file->fd, piece, wanted, (off_t)(file->offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -EBADMSG;
		XXH3_64bits_update(&hash, piece, (size_t)got);
		rc = take(context, piece, (size_t)got);
		if (rc != 0)
			return rc;
		done += (uint64_t)got;
	}
	return XXH3_64bits_digest(&hash) == file->image->checksum ? 0 : -EBADMSG;
}
