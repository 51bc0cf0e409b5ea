/* test_layout.c - the shared layout is what its golden file says; sizes are checked arithmetic; hostile headers are refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shmring/layout.h"

#define OFFSET(type, member)                                                                                                       \
	{                                                                                                                          \
#type "." #member, offsetof(struct type, member)                                                                   \
	}
#define SIZE(type)                                                                                                                 \
	{                                                                                                                          \
		"sizeof " #type, sizeof(struct type)                                                                               \
	}

static const struct {
	const char *what;
	size_t bytes;
} facts[] = {
	SIZE(layout_header),
	OFFSET(layout_header, fingerprint),
	OFFSET(layout_header, slot_count),
	OFFSET(layout_header, share),
	OFFSET(layout_header, producer_pid),
	OFFSET(layout_header, segment_bytes),
	OFFSET(layout_header, slot_stride_bytes),
	OFFSET(layout_header, name),
	OFFSET(layout_header, reader_limit),
	OFFSET(layout_header, field),
	OFFSET(layout_header, counter_name),
	SIZE(shmring_field),
	OFFSET(shmring_field, dtype),
	OFFSET(shmring_field, shape),
	OFFSET(shmring_field, offset_bytes),
	OFFSET(shmring_field, byte_count),
	SIZE(layout_slot),
	OFFSET(layout_slot, word),
	OFFSET(layout_slot, epoch),
	OFFSET(layout_slot, row_count),
	OFFSET(layout_slot, redelivered),
	OFFSET(layout_slot, reader),
	OFFSET(layout_slot, claimed_ns),
	OFFSET(layout_slot, ready_ns),
	OFFSET(layout_slot, acquired_ns),
	OFFSET(layout_slot, waited_ns),
	OFFSET(layout_slot, released_ns),
	SIZE(layout_bells),
	OFFSET(layout_bells, producer_bell),
	OFFSET(layout_bells, end),
	OFFSET(layout_bells, reader),
	OFFSET(layout_bells, end_text),
	SIZE(layout_reader),
	OFFSET(layout_reader, wait_ns),
	OFFSET(layout_reader, taken),
	OFFSET(layout_reader, start_wait_ns),
	OFFSET(layout_reader, held_slots),
	OFFSET(layout_reader, joined_ns),
	OFFSET(layout_reader, present_ns),
	OFFSET(layout_reader, pid),
	OFFSET(layout_reader, waiting),
	SIZE(layout_counters),
	SIZE(layout_log),
	OFFSET(layout_log, text),
	SIZE(layout_notes),
};

static void the_layout_equals_its_golden_file(void **state)
{
	char path[4096], line[128], expected[128];
	FILE *golden;

	(void)state;
	snprintf(path, sizeof path, "%s/layout.golden",
	         getenv("CROPRING_TEST_DATA") ? getenv("CROPRING_TEST_DATA") : CROPRING_TEST_DATA);
	golden = fopen(path, "r");
	assert_non_null(golden);
	assert_non_null(fgets(line, sizeof line, golden));
	snprintf(expected, sizeof expected, "version %d\n", LAYOUT_VERSION);
	assert_string_equal(line, expected);
	for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
		assert_non_null(fgets(line, sizeof line, golden));
		snprintf(expected, sizeof expected, "%s %zu\n", facts[i].what, facts[i].bytes);
		assert_string_equal(line, expected);
	}
	assert_null(fgets(line, sizeof line, golden));
	fclose(golden);
}

static struct shmring_field field(const char *name, uint32_t dtype, uint32_t dim_count, uint32_t a, uint32_t b)
{
	struct shmring_field result = {.dtype = dtype, .dim_count = dim_count, .shape = {a, b}};

	strncpy(result.name, name, sizeof result.name - 1);
	return result;
}

static void fields_are_aligned_and_do_not_overlap(void **state)
{
	struct shmring_field fields[] = {field("a", SHMRING_UINT8, 1, 7, 0), field("b", SHMRING_INT64, 2, 7, 5),
	                                 field("c", SHMRING_FLOAT16, 1, 1, 0), field("d", SHMRING_UINT16, 2, 7, 3)};
	uint64_t stride, total;

	(void)state;
	assert_int_equal(layout_measure(fields, 4, 4, &stride, &total, NULL), 0);
	assert_int_equal(fields[0].byte_count, 7);
	assert_int_equal(fields[1].offset_bytes, 256);
	assert_int_equal(fields[1].byte_count, 7 * 5 * 8);
	assert_int_equal(fields[2].offset_bytes, 768);
	assert_int_equal(fields[3].byte_count, 7 * 3 * 2);
	assert_int_equal(stride, LAYOUT_PAGE_BYTES);
	assert_int_equal(total, LAYOUT_SLOTS_OFFSET + 4 * LAYOUT_PAGE_BYTES);
}

static void impossible_fields_are_refused_with_a_sentence(void **state)
{
	struct shmring_field huge[] = {field("huge", SHMRING_INT64, 4, UINT32_MAX, UINT32_MAX)};
	struct shmring_field empty[] = {field("empty", SHMRING_UINT8, 1, 0, 0)};
	struct shmring_field odd[] = {field("odd", 99, 1, 1, 0)};
	uint64_t stride, total;
	struct err err;

	(void)state;
	huge[0].shape[2] = huge[0].shape[3] = UINT32_MAX;
	assert_int_equal(layout_measure(huge, 1, 3, &stride, &total, &err), -EOVERFLOW);
	assert_non_null(strstr(err.text, "huge"));
	assert_int_equal(layout_measure(empty, 1, 3, &stride, &total, &err), -EINVAL);
	assert_int_equal(layout_measure(odd, 1, 3, &stride, &total, &err), -EINVAL);
	assert_int_equal(layout_measure(odd, 1, 2, &stride, &total, &err), -EINVAL);
	assert_non_null(strstr(err.text, "2 slots"));
}

static struct layout_header good_header(void)
{
	struct layout_header header = {
		.fingerprint = layout_fingerprint(), .slot_count = 3, .field_count = 2, .reader_limit = 1, .name = "good"};

	memcpy(header.magic, LAYOUT_MAGIC, sizeof header.magic);
	header.field[0] = field("images", SHMRING_UINT8, 2, 4, 100);
	header.field[1] = field("labels", SHMRING_INT64, 1, 4, 0);
	assert_int_equal(layout_measure(header.field, 2, 3, &header.slot_stride_bytes, &header.segment_bytes, NULL), 0);
	return header;
}

static void a_good_header_is_accepted_and_each_lie_refused(void **state)
{
	const struct layout_header good = good_header();
	struct layout_header bad;

	(void)state;
	assert_int_equal(layout_check(&good, good.segment_bytes, NULL), 0);
	assert_int_equal(layout_check(&good, good.segment_bytes - 1, NULL), -EPROTO);
	bad = good, bad.magic[0] ^= 1;
	assert_int_equal(layout_check(&bad, good.segment_bytes, NULL), -EPROTO);
	bad = good, bad.fingerprint ^= 1;
	assert_int_equal(layout_check(&bad, good.segment_bytes, NULL), -EPROTO);
	bad = good, bad.slot_count = 4;
	assert_int_equal(layout_check(&bad, good.segment_bytes, NULL), -EPROTO);
	bad = good, bad.field_count = SHMRING_MAX_FIELDS + 1;
	assert_int_equal(layout_check(&bad, good.segment_bytes, NULL), -EPROTO);
	bad = good, bad.counter_count = SHMRING_MAX_COUNTERS + 1;
	assert_int_equal(layout_check(&bad, good.segment_bytes, NULL), -EPROTO);
	bad = good, bad.field[1].offset_bytes = 0;
	assert_int_equal(layout_check(&bad, good.segment_bytes, NULL), -EPROTO);
	bad = good, bad.slot_stride_bytes *= 2;
	assert_int_equal(layout_check(&bad, good.segment_bytes, NULL), -EPROTO);
	bad = good, memset(bad.name, 'x', sizeof bad.name);
	assert_int_equal(layout_check(&bad, good.segment_bytes, NULL), -EPROTO);
	bad = good, bad.reader_limit = 0;
	assert_int_equal(layout_check(&bad, good.segment_bytes, NULL), -EPROTO);
	bad = good, bad.reader_limit = LAYOUT_MAX_READERS + 1;
	assert_int_equal(layout_check(&bad, good.segment_bytes, NULL), -EPROTO);
	bad = good, bad.share = 3;
	assert_int_equal(layout_check(&bad, good.segment_bytes, NULL), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_layout_equals_its_golden_file),
		cmocka_unit_test(fields_are_aligned_and_do_not_overlap),
		cmocka_unit_test(impossible_fields_are_refused_with_a_sentence),
		cmocka_unit_test(a_good_header_is_accepted_and_each_lie_refused),
	};

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
