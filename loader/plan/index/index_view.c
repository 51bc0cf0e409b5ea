/* index_view.c - part of stage 1 of 5: the bytes of an index in, its columns and strings out, every number looked at.  Any thread. */
#include "loader/plan/index/index_view.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* No index is longer, so that no sum below overflows: 2^40 samples are 2^46 bytes and more. */
#define INDEX_MAX_BYTES (UINT64_C(1) << 46)

static uint64_t rounded_up(uint64_t byte_count)
{
	return (byte_count + 7) & ~UINT64_C(7);
}

static uint64_t column_bytes(const struct index_header *header, enum index_column column)
{
	return header->columns & INDEX_HAS(column) ? rounded_up(header->sample_count * index_value_bytes(column)) : 0;
}

/* Where the class offsets begin. */
static uint64_t columns_end(const struct index_header *header)
{
	uint64_t end = sizeof *header;

	for (int i = 0; i < INDEX_COLUMN_COUNT; i++)
		end += column_bytes(header, (enum index_column)i);
	return end;
}

size_t index_view_bytes(const struct index_header *header)
{
	return columns_end(header) + 8 * header->class_count + header->text_bytes + header->stamp_bytes;
}

void index_view_fingerprint(const void *index, uint8_t fingerprint[16])
{
	const struct index_header *header = index;
	uint64_t covered = columns_end(header) + 8 * header->class_count + header->root_at - sizeof *header;
	const uint64_t counts[] = {header->columns, header->sample_count, header->class_count};
	XXH128_hash_t hash = XXH3_128bits_withSeed(header + 1, covered, XXH3_64bits(counts, sizeof counts));
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, hash);
	memcpy(fingerprint, canonical.digest, sizeof canonical.digest);
}

static bool has(const struct index_header *header, enum index_column column)
{
	return header->columns >> column & 1;
}

const char *index_view_check_header(const struct index_header *header, uint64_t byte_count)
{
	if (byte_count < sizeof *header || memcmp(header->magic, INDEX_MAGIC, sizeof header->magic) != 0)
		return "it does not begin like one";
	if (header->columns >> INDEX_COLUMN_COUNT != 0 || !has(header, INDEX_PATH) || !has(header, INDEX_LABEL) ||
	    has(header, INDEX_OFFSET) != has(header, INDEX_LENGTH) || (has(header, INDEX_BOX) && has(header, INDEX_WINDOW)) ||
	    has(header, INDEX_TARGET_OFFSET) != has(header, INDEX_TARGET_LENGTH) ||
	    (has(header, INDEX_TARGET_OFFSET) && !has(header, INDEX_TARGET)) ||
	    (has(header, INDEX_IMAGE) && !has(header, INDEX_OFFSET)) || (has(header, INDEX_SHARD) && !has(header, INDEX_IMAGE)) ||
	    has(header, INDEX_TARGET_IMAGE) != (has(header, INDEX_IMAGE) && has(header, INDEX_TARGET_OFFSET)))
		return "its columns are not such as belong together";
	/* A sample takes 16 bytes at least, a class 9. */
	if (byte_count > INDEX_MAX_BYTES || header->sample_count > byte_count / 16 || header->class_count > byte_count / 9 ||
	    header->text_bytes > byte_count || header->stamp_bytes > byte_count || index_view_bytes(header) != byte_count)
		return "its length is not what its counts need";
	if (header->root_at >= header->text_bytes)
		return "its root folder is not in its text";
	return NULL;
}

/* The offset of a string that begins where another one ends, is not empty, and ends before `limit`. */
static bool is_string_start(const char *text, uint64_t at, uint64_t limit)
{
	return at < limit && text[at] != '\0' && (at == 0 || text[at - 1] == '\0');
}

static bool are_strings(const char *text, const uint64_t *offsets, uint64_t count, uint64_t limit)
{
	for (uint64_t i = 0; i < count; i++) {
		/* Samples of one file stand together: most need no look. */
		if ((i == 0 || offsets[i] != offsets[i - 1]) && !is_string_start(text, offsets[i], limit))
			return false;
	}
	return true;
}

/* Neither absolute nor with a "..", which would lead out of the root. */
static bool stays_inside(const char *path)
{
	if (*path == '/')
		return false;
	for (const char *at = path; (at = strstr(at, "..")); at++)
		if ((at == path || at[-1] == '/') && (at[2] == '/' || at[2] == '\0'))
			return false;
	return true;
}

static bool stay_inside(const char *text, const uint64_t *offsets, uint64_t count)
{
	for (uint64_t i = 0; offsets && i < count; i++) {
		if ((i == 0 || offsets[i] != offsets[i - 1]) && !stays_inside(text + offsets[i]))
			return false;
	}
	return true;
}

static bool are_ranges(const uint64_t *offsets, const uint64_t *lengths, uint64_t count)
{
	for (uint64_t i = 0; offsets && i < count; i++) {
		if (offsets[i] > INT64_MAX || lengths[i] > INT64_MAX - offsets[i])
			return false;
	}
	return true;
}

static bool are_boxes(const int32_t (*boxes)[4], uint64_t count)
{
	for (uint64_t i = 0; boxes && i < count; i++) {
		if (boxes[i][0] < 0 || boxes[i][1] < 0 || boxes[i][2] < 1 || boxes[i][3] < 1)
			return false;
	}
	return true;
}

static bool are_windows(const float (*windows)[3], uint64_t count)
{
	for (uint64_t i = 0; windows && i < 3 * count; i++) {
		float share = windows[i / 3][i % 3];

		if (!(share >= 0 && share <= 1))
			return false;
	}
	return true;
}

static bool are_weights(const double *weights, uint64_t count)
{
	bool any = weights == NULL;

	for (uint64_t i = 0; weights && i < count; i++) {
		if (!(weights[i] >= 0 && weights[i] <= 1e300))
			return false;
		any = any || weights[i] > 0;
	}
	return any;
}

static bool are_labels(const int64_t *labels, uint64_t count, uint64_t class_count)
{
	for (uint64_t i = 0; class_count > 0 && i < count; i++) {
		if (labels[i] < -1 || (labels[i] >= 0 && (uint64_t)labels[i] >= class_count))
			return false;
	}
	return true;
}

static const char *check_values(const struct index_view *view)
{
	const struct index_header *header = view->header;
	uint64_t count = header->sample_count;
	uint8_t fingerprint[16];

	if (view->text[header->text_bytes - 1] != '\0' || (header->root_at > 0 && view->text[header->root_at - 1] != '\0') ||
	    strlen(view->text + header->root_at) + 1 != header->text_bytes - header->root_at)
		return "its strings have no end";
	if (!are_strings(view->text, view->class_offsets, header->class_count, header->root_at))
		return "a class name is not where it should be";
	if (!are_strings(view->text, view->column[INDEX_PATH], count, header->root_at) ||
	    (view->column[INDEX_TARGET] && !are_strings(view->text, view->column[INDEX_TARGET], count, header->root_at)))
		return "a path is not where it should be";
	/* Of what lies in a pack they are names: nothing is opened by them. */
	if ((!view->column[INDEX_IMAGE] && !stay_inside(view->text, view->column[INDEX_PATH], count)) ||
	    (!view->column[INDEX_TARGET_IMAGE] && !stay_inside(view->text, view->column[INDEX_TARGET], count)))
		return "a path leads out of its root folder";
	if (!are_labels(view->column[INDEX_LABEL], count, header->class_count))
		return "a label is beyond its classes";
	if (!are_ranges(view->column[INDEX_OFFSET], view->column[INDEX_LENGTH], count) ||
	    !are_ranges(view->column[INDEX_TARGET_OFFSET], view->column[INDEX_TARGET_LENGTH], count))
		return "an offset is beyond any file";
	if (!are_boxes(view->column[INDEX_BOX], count) || !are_windows(view->column[INDEX_WINDOW], count))
		return "a box is impossible";
	if (!are_weights(view->column[INDEX_WEIGHT], count))
		return "a weight is impossible";
	index_view_fingerprint(header, fingerprint);
	return memcmp(fingerprint, header->fingerprint, sizeof fingerprint) == 0 ? NULL
	                                                                         : "its bytes are not those that were written";
}

int index_view_open(struct index_view *view, const void *index, size_t byte_count, const char *name, struct err *err)
{
	const struct index_header *header = index;
	const char *fault = index_view_check_header(header, byte_count), *at = (const char *)index + sizeof *header;

	if (!fault) {
		*view = (struct index_view){.header = header};
		for (int i = 0; i < INDEX_COLUMN_COUNT; i++) {
			view->column[i] = has(header, (enum index_column)i) ? at : NULL;
			at += column_bytes(header, (enum index_column)i);
		}
		view->class_offsets = (const uint64_t *)(const void *)at;
		view->text = at + 8 * header->class_count;
		view->stamps = view->text + header->text_bytes;
		fault = check_values(view);
	}
	return fault ? err_fail(err, -EINVAL, "%s: not an index that can be used: %s", name, fault) : 0;
}
