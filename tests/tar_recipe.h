/* tar_recipe.h - tar archives for tests, made header by header, so that any of it can be wrong. */
#ifndef CROPRING_TESTS_TAR_RECIPE_H
#define CROPRING_TESTS_TAR_RECIPE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* All zero before the first member. */
struct tar_recipe {
	uint8_t bytes[1 << 21];
	size_t byte_count;
};

/* POSIX.1-1988: the sum of all bytes, those of the checksum counted as spaces. */
static inline void tar_sign(uint8_t *block)
{
	unsigned sum = 0;
	char digits[8];

	memset(block + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += block[i];
	snprintf(digits, sizeof digits, "%06o", sum);
	memcpy(block + 148, digits, 7);
}

/* A header that tells size_bytes; where it is. */
static inline uint8_t *tar_put_header(struct tar_recipe *recipe, const char *name, char type, uint64_t size_bytes)
{
	uint8_t *block = recipe->bytes + recipe->byte_count;
	char digits[24];

	memset(block, 0, 512);
	memcpy(block, name, strlen(name) < 100 ? strlen(name) : 100);
	memcpy(block + 100, "0000644", 8);
	snprintf(digits, sizeof digits, "%011llo", (unsigned long long)size_bytes);
	memcpy(block + 124, digits, 11);
	block[156] = (uint8_t)type;
	memcpy(block + 257,
	       "ustar\0"
	       "00",
	       8);
	tar_sign(block);
	recipe->byte_count += 512;
	return block;
}

static inline void tar_put_data(struct tar_recipe *recipe, const void *data, size_t byte_count)
{
	memcpy(recipe->bytes + recipe->byte_count, data, byte_count);
	recipe->byte_count += (byte_count + 511) / 512 * 512;
}

/* Where its data begins. */
static inline uint64_t tar_put_as(struct tar_recipe *recipe, const char *name, char type, const char *text)
{
	uint64_t at = recipe->byte_count + 512;

	tar_put_header(recipe, name, type, strlen(text));
	tar_put_data(recipe, text, strlen(text));
	return at;
}

static inline uint64_t tar_put(struct tar_recipe *recipe, const char *name, const char *text)
{
	return tar_put_as(recipe, name, '0', text);
}

static inline void tar_put_end(struct tar_recipe *recipe)
{
	memset(recipe->bytes + recipe->byte_count, 0, 1024);
	recipe->byte_count += 1024;
}

/* The archive as a file; the recipe is empty again. */
static inline int tar_fd(struct tar_recipe *recipe)
{
	int fd = memfd_create("archive", MFD_CLOEXEC);

	if (fd < 0 || write(fd, recipe->bytes, recipe->byte_count) != (ssize_t)recipe->byte_count)
		abort();
	memset(recipe->bytes, 0, recipe->byte_count);
	recipe->byte_count = 0;
	return fd;
}

#endif
