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

/* Room for byte_count more.  -ENOMEM, and all is as it was. */
static inline int bytes_reserve(struct bytes *bytes, size_t byte_count)
{
	size_t capacity = bytes->capacity_bytes < 4096 ? 4096 : bytes->capacity_bytes;
	char *grown;

	if (byte_count <= bytes->capacity_bytes - bytes->used_bytes)
		return 0;
	while (byte_count > capacity - bytes->used_bytes)
		capacity += capacity / 2;
	grown = (char *)realloc(bytes->data, capacity);
	if (!grown)
		return -ENOMEM;
	bytes->data = grown;
	bytes->capacity_bytes = capacity;
	return 0;
}

/* -ENOMEM, and all is as it was. */
static inline int bytes_append(struct bytes *bytes, const void *data, size_t byte_count)
{
	int rc = bytes_reserve(bytes, byte_count);

	if (rc < 0)
		return rc;
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
