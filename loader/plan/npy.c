/*
 * npy.c - part of stage 1 of 5: the header of a NumPy array file, read strictly.  Pure functions, any thread.
 *
 *   "\x93NUMPY", two bytes of version, 2 or (from version 2 on) 4 bytes with the length of the rest:
 *   {'descr': '<f8', 'fortran_order': False, 'shape': (30,), }   and spaces up to a newline
 */
#include "loader/plan/npy.h"

#include <stdbool.h>
#include <string.h>

struct cursor {
	const char *at, *end;
};

static void skip_spaces(struct cursor *cursor)
{
	while (cursor->at < cursor->end && *cursor->at == ' ')
		cursor->at++;
}

static bool take(struct cursor *cursor, const char *word)
{
	size_t length = strlen(word);

	skip_spaces(cursor);
	if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
		return false;
	cursor->at += length;
	return true;
}

/* A string of up to 15 characters without escapes, in either kind of quotes. */
static bool take_string(struct cursor *cursor, char text[16])
{
	char quote;
	size_t length = 0;

	skip_spaces(cursor);
	if (cursor->at == cursor->end || (*cursor->at != '\'' && *cursor->at != '"'))
		return false;
	quote = *cursor->at++;
	while (cursor->at < cursor->end && *cursor->at != quote && *cursor->at != '\\' && length < 15)
		text[length++] = *cursor->at++;
	text[length] = '\0';
	if (cursor->at == cursor->end || *cursor->at != quote)
		return false;
	cursor->at++;
	return true;
}

static bool take_count(struct cursor *cursor, uint64_t *count)
{
	const char *begin;

	skip_spaces(cursor);
	*count = 0;
	for (begin = cursor->at; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++)
		if (__builtin_mul_overflow(*count, 10u, count) ||
		    __builtin_add_overflow(*count, (uint64_t)(*cursor->at - '0'), count))
			return false;
	return cursor->at > begin;
}

static const char *parse_type(struct cursor *cursor, struct npy *npy)
{
	static const struct {
		const char *name;
		enum npy_kind kind;
		uint32_t value_bytes;
	} types[] = {
		{"<f8", NPY_FLOAT, 8},    {"<f4", NPY_FLOAT, 4},    {"<i8", NPY_SIGNED, 8},   {"<i4", NPY_SIGNED, 4},
		{"<i2", NPY_SIGNED, 2},   {"|i1", NPY_SIGNED, 1},   {"<u8", NPY_UNSIGNED, 8}, {"<u4", NPY_UNSIGNED, 4},
		{"<u2", NPY_UNSIGNED, 2}, {"|u1", NPY_UNSIGNED, 1}, {"|b1", NPY_UNSIGNED, 1},
	};
	char name[16];

	if (take_string(cursor, name)) {
		for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
			if (strcmp(name, types[i].name) == 0) {
				npy->kind = types[i].kind;
				npy->value_bytes = types[i].value_bytes;
				return NULL;
			}
		}
	}
	return "its type is not one of float64, float32, bool, or whole numbers of 8 to 64 bits, little-endian";
}

static const char *parse_shape(struct cursor *cursor, struct npy *npy)
{
	if (!take(cursor, "(") || !take_count(cursor, &npy->count) || !take(cursor, ",") || !take(cursor, ")"))
		return "it has not one dimension";
	return NULL;
}

/* The three entries, in any order. */
static const char *parse_entries(struct cursor *cursor, struct npy *npy)
{
	static const char broken[] = "its header cannot be understood";
	bool has_type = false, has_order = false, has_shape = false;
	const char *fault = NULL;
	char key[16];

	if (!take(cursor, "{"))
		return broken;
	for (int i = 0; i < 3; i++) {
		if (!take_string(cursor, key) || !take(cursor, ":"))
			return broken;
		if (strcmp(key, "descr") == 0 && !has_type) {
			has_type = true;
			fault = parse_type(cursor, npy);
		} else if (strcmp(key, "fortran_order") == 0 && !has_order) {
			has_order = true; /* one dimension is the same in both */
			fault = take(cursor, "False") || take(cursor, "True") ? NULL : broken;
		} else if (strcmp(key, "shape") == 0 && !has_shape) {
			has_shape = true;
			fault = parse_shape(cursor, npy);
		} else {
			fault = broken;
		}
		if (fault)
			return fault;
		if (!take(cursor, ",") && i < 2)
			return broken;
	}
	if (!take(cursor, "}"))
		return broken;
	skip_spaces(cursor);
	return cursor->end - cursor->at == 1 && *cursor->at == '\n' ? NULL : broken;
}

const char *npy_parse(const uint8_t *head, size_t byte_count, struct npy *npy)
{
	uint32_t prefix_bytes, header_bytes;
	struct cursor cursor;

	if (byte_count < 12 || memcmp(head, "\x93NUMPY", 6) != 0)
		return "not a .npy file, as numpy.save() writes them";
	if (head[6] < 1 || head[6] > 3 || head[7] != 0)
		return "a .npy file of an unknown version";
	prefix_bytes = head[6] == 1 ? 10 : 12;
	header_bytes = head[8] | (uint32_t)head[9] << 8;
	if (head[6] > 1)
		header_bytes |= (uint32_t)head[10] << 16 | (uint32_t)head[11] << 24;
	if (header_bytes > byte_count - prefix_bytes)
		return "its header is cut off, or too long";
	npy->data_offset = prefix_bytes + header_bytes;
	cursor = (struct cursor){.at = (const char *)head + prefix_bytes, .end = (const char *)head + npy->data_offset};
	return parse_entries(&cursor, npy);
}

double npy_value(const struct npy *npy, const uint8_t *bytes)
{
	uint64_t bits = 0;
	uint32_t unused_bits = 64 - 8 * npy->value_bytes;
	double real;
	float single;

	memcpy(&bits, bytes, npy->value_bytes);
	switch (npy->kind) {
	case NPY_FLOAT:
		if (npy->value_bytes == sizeof single) {
			memcpy(&single, bytes, sizeof single);
			return single;
		}
		memcpy(&real, bytes, sizeof real);
		return real;
	case NPY_SIGNED:
		return (double)((int64_t)(bits << unused_bits) >> unused_bits);
	case NPY_UNSIGNED:
		break;
	}
	return (double)bits;
}
