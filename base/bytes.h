/* bytes.h - a run of bytes that grows at its end.  All zero is an empty one. */
#ifndef CROPRING_BYTES_H
#define CROPRING_BYTES_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
	char *data;
	size_t used_bytes, capacity_bytes;
};

/* -ENOMEM, and all is as it was. */
static inline int bytes_append(struct bytes *bytes, const void *data, size_t byte_count)
{
	if (byte_count > bytes->capacity_bytes - bytes->used_bytes) {
		size_t capacity = bytes->capacity_bytes < 4096 ? 4096 : bytes->capacity_bytes;
		char *grown;

		while (byte_count > capacity - bytes->used_bytes)
			capacity += capacity / 2;
		grown = (char *)realloc(bytes->data, capacity);
		if (!grown)
			return -ENOMEM;
		bytes->data = grown;
		bytes->capacity_bytes = capacity;
	}
	if (byte_count > 0)
		memcpy(bytes->data + bytes->used_bytes, data, byte_count);
	bytes->used_bytes += byte_count;
	return 0;
}

static inline void bytes_free(struct bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct bytes){0};
}

#endif
