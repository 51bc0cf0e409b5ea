/*
 * npy.h - part of stage 1 of 5: the first bytes of a NumPy array file in, what it holds and where out.
 *
 * Arrays of one dimension, of little-endian numbers.  Source of the format: the documentation of numpy.lib.format, versions 1.0 to 3.0.
 */
#ifndef CROPRING_NPY_H
#define CROPRING_NPY_H

#include <stddef.h>
#include <stdint.h>

/* As many bytes at a file's begin hold every header that npy_parse() takes; NumPy's own have 128. */
enum { NPY_HEAD_BYTES = 4096 };

enum npy_kind { NPY_FLOAT, NPY_SIGNED, NPY_UNSIGNED };

struct npy {
	enum npy_kind kind;
	uint32_t value_bytes; /* 1, 2, 4 or 8; of NPY_FLOAT 4 or 8 */
	uint64_t count;
	uint32_t data_offset; /* in the file */
};

/* NULL, or what is wrong, to follow the file's name.  `head` is the file's first byte_count bytes, as many as there are up to NPY_HEAD_BYTES. */
const char *npy_parse(const uint8_t *head, size_t byte_count, struct npy *npy);

/* The number whose value_bytes bytes are at `bytes`; whole ones beyond 2^53 to the nearest double. */
double npy_value(const struct npy *npy, const uint8_t *bytes);

#endif
