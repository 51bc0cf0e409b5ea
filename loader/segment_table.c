/* segment_table.c - the bytes of a segment table in, a segment's place out, and back.  Any thread. */
#include "loader/segment_table.h"

#include <errno.h>
#include <stddef.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { GROUP_START_BYTES = 4, GROUP_CHECK_BYTES = 2 };

static size_t group_bytes(const struct segment_table_header *header)
{
	return GROUP_START_BYTES + (size_t)header->length_bytes * SEGMENTS_OF_GROUP + GROUP_CHECK_BYTES;
}

static uint32_t group_count(const struct segment_table_header *header)
{
	return header->segment_count / SEGMENTS_OF_GROUP + (header->segment_count % SEGMENTS_OF_GROUP != 0);
}

size_t segment_table_bytes(const struct segment_table_header *header)
{
	return sizeof *header + group_count(header) * group_bytes(header);
}

static uint32_t header_check(const struct segment_table_header *header)
{
	return (uint32_t)XXH3_64bits(header, offsetof(struct segment_table_header, check));
}

static uint16_t group_check(const struct segment_table_header *header, const uint8_t *group, uint32_t number)
{
	return (uint16_t)XXH3_64bits_withSeed(group, group_bytes(header) - GROUP_CHECK_BYTES, number);
}

static bool is_sound(const struct segment_table_header *header, uint64_t file_bytes)
{
	if (memcmp(header->magic, SEGMENT_TABLE_MAGIC, sizeof header->magic) != 0 || header->version != SEGMENT_TABLE_VERSION ||
	    header_check(header) != header->check)
		return false;
	if ((header->length_bytes != 2 && header->length_bytes != 4) || header->segment_count == 0 || header->unit == 0)
		return false;
	if (header->kind == SEGMENT_JPEG
	            ? header->mcu_width_px < 8 || header->mcu_width_px > 32 || header->mcu_width_px % 8 != 0 ||
	                      header->mcu_height_px < 8 || header->mcu_height_px > 32 || header->mcu_height_px % 8 != 0
	            : header->kind != SEGMENT_PNG)
		return false;
	/* The parts of the head stand in order, before the data, which lies in the file. */
	if (header->data_at >= file_bytes || header->head_bytes == 0 || header->head_bytes > header->data_at)
		return false;
	return header->second_head_bytes == 0 ||
	       (header->second_head_at >= header->head_bytes && header->second_head_at <= header->data_at &&
	        header->second_head_bytes <= header->data_at - header->second_head_at);
}

bool segment_table_open(struct segments *segments, const uint8_t *table, size_t table_bytes)
{
	struct segment_table_header *header = &segments->header;

	segments->kind = SEGMENT_NONE;
	if (table_bytes < sizeof *header)
		return false;
	memcpy(header, table, sizeof *header);
	if (!is_sound(header, segments->file_bytes) || segment_table_bytes(header) != table_bytes)
		return false;
	segments->kind = (enum segment_kind)header->kind;
	segments->groups = table + sizeof *header;
	return true;
}

/* A copy of a group, whose check is right. */
struct group {
	uint8_t bytes[GROUP_START_BYTES + 4 * SEGMENTS_OF_GROUP + GROUP_CHECK_BYTES];
};

static bool read_group(const struct segments *segments, uint32_t number, struct group *group)
{
	size_t byte_count = group_bytes(&segments->header);
	uint16_t check;

	memcpy(group->bytes, segments->groups + number * byte_count, byte_count);
	memcpy(&check, group->bytes + byte_count - GROUP_CHECK_BYTES, sizeof check);
	return check == group_check(&segments->header, group->bytes, number);
}

/* The first `place` of a group's lengths together.  All are gone through, which makes it a few vector instructions. */
static uint64_t sum_of_short(const struct group *group, uint32_t place)
{
	uint16_t lengths[SEGMENTS_OF_GROUP];
	uint32_t sum = 0;

	memcpy(lengths, group->bytes + GROUP_START_BYTES, sizeof lengths);
	for (uint32_t i = 0; i < SEGMENTS_OF_GROUP; i++)
		sum += i < place ? lengths[i] : 0;
	return sum;
}

static uint64_t sum_of_long(const struct group *group, uint32_t place)
{
	uint32_t lengths[SEGMENTS_OF_GROUP];
	uint64_t sum = 0;

	memcpy(lengths, group->bytes + GROUP_START_BYTES, sizeof lengths);
	for (uint32_t i = 0; i < SEGMENTS_OF_GROUP; i++)
		sum += i < place ? lengths[i] : 0;
	return sum;
}

/* Where the group's segment `place` begins; where it ends is where the next one begins. */
static uint64_t place_of(const struct segments *segments, const struct group *group, uint32_t place)
{
	uint32_t start;

	memcpy(&start, group->bytes, sizeof start);
	return start + (segments->header.length_bytes == 2 ? sum_of_short(group, place) : sum_of_long(group, place));
}

bool segment_table_run(const struct segments *segments, uint32_t begin, uint32_t end, struct file_run *run)
{
	const struct segment_table_header *header = &segments->header;
	uint64_t from, to, most_bytes = segments->file_bytes - header->data_at;
	struct group group;

	if (begin >= end || end > header->segment_count || !read_group(segments, begin / SEGMENTS_OF_GROUP, &group))
		return false;
	from = place_of(segments, &group, begin % SEGMENTS_OF_GROUP);
	if ((end - 1) / SEGMENTS_OF_GROUP != begin / SEGMENTS_OF_GROUP &&
	    !read_group(segments, (end - 1) / SEGMENTS_OF_GROUP, &group))
		return false;
	to = place_of(segments, &group, (end - 1) % SEGMENTS_OF_GROUP + 1);
	if (from >= to || to > most_bytes)
		return false;
	*run = (struct file_run){.offset = header->data_at + from, .byte_count = to - from};
	return true;
}

static uint32_t length_bytes_for(const uint64_t *ends, uint32_t segment_count)
{
	uint64_t begin = 0;

	for (uint32_t i = 0; i < segment_count; begin = ends[i++])
		if (ends[i] - begin > UINT16_MAX)
			return 4;
	return 2;
}

int segment_table_write(const struct segment_table_header *given, const uint64_t *ends, uint32_t segment_count, struct bytes *table)
{
	struct segment_table_header header = *given;
	uint64_t begin = 0;
	int rc;

	if (segment_count == 0 || ends[segment_count - 1] > UINT32_MAX - header.data_at)
		return -EFBIG;
	memcpy(header.magic, SEGMENT_TABLE_MAGIC, sizeof header.magic);
	header.version = SEGMENT_TABLE_VERSION;
	header.length_bytes = (uint8_t)length_bytes_for(ends, segment_count);
	header.zero = 0;
	header.segment_count = segment_count;
	header.check = header_check(&header);
	rc = bytes_append(table, &header, sizeof header);
	for (uint32_t number = 0; rc == 0 && number < group_count(&header); number++) {
		struct group group = {{0}};
		uint32_t start = (uint32_t)begin, first = number * SEGMENTS_OF_GROUP;
		uint16_t check;

		memcpy(group.bytes, &start, sizeof start);
		for (uint32_t i = 0; i < SEGMENTS_OF_GROUP && first + i < segment_count; begin = ends[first + i++]) {
			uint32_t length = (uint32_t)(ends[first + i] - begin);

			memcpy(group.bytes + GROUP_START_BYTES + i * header.length_bytes, &length, header.length_bytes);
		}
		check = group_check(&header, group.bytes, number);
		memcpy(group.bytes + group_bytes(&header) - GROUP_CHECK_BYTES, &check, sizeof check);
		rc = bytes_append(table, group.bytes, group_bytes(&header));
	}
	return rc;
}
