/* What is remembered of files with restart markers: whose it is, how long, and what later visits make of it.  Four threads. */
#include <pthread.h>

#include "loader/decode/jpeg_index.h"
#include "loader/decode/segment_store.h"
#include "tests/decode_check.h"
#include "tests/jpeg_recipe.h"
#include "tests/jpeg_reference.h"
#include "tests/segments_recipe.h"

enum { THREAD_COUNT = 4, FILE_COUNT = 8, ROUNDS = 2000 };

static const struct file_stamp now = {.size_bytes = 5, .mtime_ns = 6, .ctime_ns = 7, .inode = 8, .device = 9};

/* Segments of 100 + number bytes each. */
static void keep(struct segment_store *store, uint64_t id, const struct file_stamp *stamp, uint32_t number)
{
	const struct segment_table_header header = {
		.kind = SEGMENT_JPEG, .head_bytes = 50, .data_at = 50, .unit = 3, .mcu_width_px = 8, .mcu_height_px = 8};
	const struct segments picture = {.width_px = 48, .height_px = 8, .orientation = 1, .channels = 3, .file_bytes = 50 + 400};
	const uint64_t ends[] = {100 + number, 200 + 2 * number};
	struct bytes table = {0};

	assert_int_equal(segment_table_write(&header, ends, 2, &table), 0);
	segment_store_keep(store, id, stamp, &picture, &table);
	bytes_free(&table);
}

/* The number that keep() was given; -1: nothing is known. */
static int find(struct segment_store *store, uint64_t id, const struct file_stamp *stamp)
{
	struct segments segments;
	struct file_run run;

	if (!segment_store_find(store, id, stamp, &segments))
		return -1;
	assert_int_equal(segments.width_px, 48);
	assert_true(segment_table_run(&segments, 1, 2, &run));
	return (int)run.byte_count - 100;
}

static void a_table_is_for_a_file_as_it_was(void **state)
{
	struct segment_store *store = segment_store_open(1 << 20);
	struct file_stamp other = now;
	int64_t *const fields[] = {(int64_t *)&other.size_bytes, &other.mtime_ns, &other.ctime_ns, (int64_t *)&other.inode,
	                           (int64_t *)&other.device};

	(void)state;
	assert_int_equal(find(store, 3, &now), -1);
	assert_true(segment_store_wants(store, 3, &now, 200));
	assert_false(segment_store_wants(store, 3, &now, SIZE_MAX));
	keep(store, 3, &now, 1);
	assert_false(segment_store_wants(store, 3, &now, 200));
	keep(store, 3 + 1024, &now, 2);
	keep(store, 3, &now, 4); /* which is known */
	assert_int_equal(find(store, 3, &now), 1);
	assert_int_equal(find(store, 3 + 1024, &now), 2);
	assert_int_equal(find(store, 4, &now), -1);
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		++*fields[i];
		assert_int_equal(find(store, 3, &other), -1);
		--*fields[i];
	}
	other.mtime_ns++;
	keep(store, 3, &other, 5);
	assert_int_equal(find(store, 3, &other), 5);
	assert_int_equal(find(store, 3, &now), 1);
	keep(store, FILE_BYTES_NO_ID, &now, 6);
	assert_int_equal(find(store, FILE_BYTES_NO_ID, &now), -1);
	segment_store_close(store);
}

/* A table of two segments takes less than 400 bytes, with all that belongs to it. */
static void what_comes_when_it_is_full_is_not_kept(void **state)
{
	struct segment_store *store = segment_store_open(20000);
	uint64_t kept_count = 0;

	(void)state;
	while (kept_count < 100) {
		keep(store, kept_count, &now, 1);
		if (find(store, kept_count, &now) != 1)
			break;
		kept_count++;
	}
	assert_in_range(kept_count, 20000 / 400, 99);
	assert_false(segment_store_wants(store, 200, &now, 200));
	keep(store, 200, &now, 1);
	assert_int_equal(find(store, 200, &now), -1);
	for (uint64_t id = 0; id < kept_count; id++)
		assert_int_equal(find(store, id, &now), 1);
	segment_store_close(store);
}

static void *visit_files(void *argument)
{
	struct segment_store *store = argument;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint64_t id = round % FILE_COUNT;
		int number = find(store, id, &now);

		if (number < 0)
			keep(store, id, &now, (uint32_t)id);
		else
			assert_int_equal(number, id);
	}
	return NULL;
}

static void threads_share_a_store(void **state)
{
	struct segment_store *store = segment_store_open(1 << 20);
	pthread_t threads[THREAD_COUNT];

	(void)state;
	for (int i = 0; i < THREAD_COUNT; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, visit_files, store), 0);
	for (int i = 0; i < THREAD_COUNT; i++)
		pthread_join(threads[i], NULL);
	segment_store_close(store);
}

/* A file's visits: the decoder sees all of it first, and what its table says from then on. */
struct visits {
	struct decode_limits limits;
	struct decoder *decoder;
	struct file file;
	struct image_info info;
};

static struct visits open_visits(struct file file)
{
	struct visits visits = {.file = file};

	visits.limits = (struct decode_limits){.max_pixels = TEST_MAX_PIXELS,
	                                       .jpeg_indexes = jpeg_index_store_open(JPEG_INDEX_BUDGET_BYTES, 0),
	                                       .segment_store = segment_store_open(SEGMENT_STORE_BUDGET_BYTES)};
	visits.decoder = decoder_open(&visits.limits);
	visits.info = probe_ok(visits.decoder, file);
	return visits;
}

static void close_visits(struct visits *visits)
{
	decoder_close(visits->decoder);
	jpeg_index_store_close(visits->limits.jpeg_indexes);
	segment_store_close(visits->limits.segment_store);
	free(visits->file.bytes);
}

static void visit_whole(struct visits *visits, const struct decode_want *want)
{
	struct file_bytes file = file_whole(visits->file);
	struct pixels out;

	file.id = 1;
	file.stamp = &now;
	assert_int_equal(decode_region(visits->decoder, &file, &visits->info, want, &out), ITEM_OK);
}

static void a_second_visit_takes_what_the_first_has_found(void **state)
{
	int read_count = 0;

	(void)state;
	for (unsigned restart_mcus = 1; restart_mcus < 40; restart_mcus += 1 + check_below(6)) {
		struct visits visits = open_visits(jpeg_encode(&(struct jpeg_recipe){.width_px = 300,
		                                                                     .height_px = 300,
		                                                                     .stored = JCS_YCbCr,
		                                                                     .across = 2,
		                                                                     .down = 1 + (int)check_below(2),
		                                                                     .orientation = 6,
		                                                                     .restart_mcus = restart_mcus}));
		struct picture full = jpeg_reference(visits.file, 3, 8);
		struct segments segments;

		visit_whole(&visits, &(struct decode_want){{20, 270, 10, 10}, 3, 8, false});
		assert_true(segment_store_find(visits.limits.segment_store, 1, &now, &segments));
		for (int i = 0; i < 10; i++) {
			struct decode_want want = {random_box(300, 300), 3, 8, false};
			struct image_info info;
			struct file_runs *runs;
			struct file_bytes file;
			struct pixels out;
			uint8_t *bytes;

			want.region.height = (want.region.height + 3) / 4;
			if (!decode_runs_again(&segments, &visits.limits, &want, &runs))
				continue;
			read_count++;
			bytes = runs_read(visits.file, runs);
			file = file_bytes_in_runs(bytes, runs, &segments);
			assert_int_equal(decode_probe(visits.decoder, &file, &info), ITEM_OK);
			assert_memory_equal(&info, &visits.info, sizeof info);
			assert_int_equal(decode_region(visits.decoder, &file, &info, &want, &out), ITEM_OK);
			check_pixels(&out, &want, &full);
			free(bytes);
			free(runs);
		}
		free(full.data);
		close_visits(&visits);
	}
	assert_true(read_count > 10);
}

/* No code begins with the bytes from here on; markers stay. */
static void damage(struct file file, size_t at, size_t byte_count)
{
	for (size_t end = at + byte_count; at < end; at++) {
		if (file.bytes[at] != 0xff && file.bytes[at - 1] != 0xff && file.bytes[at + 1] != 0xff)
			file.bytes[at] = 0xfe;
	}
}

/* Wherever some rows are damaged beside a region, the second visit finds as much of it as the first. */
static void later_visits_tell_no_less_of_damage(void **state)
{
	int read_count = 0, sound_count = 0;

	(void)state;
	for (int round = 0; round < 60; round++) {
		struct visits visits = open_visits(jpeg_encode(&(struct jpeg_recipe){.width_px = 320,
		                                                                     .height_px = 320,
		                                                                     .stored = JCS_YCbCr,
		                                                                     .restart_mcus = 1 + check_below(60),
		                                                                     .across = 1,
		                                                                     .down = 1}));
		struct segments segments;

		jpeg_index_store_close(visits.limits.jpeg_indexes);
		decoder_close(visits.decoder);
		visits.limits.jpeg_indexes = jpeg_index_store_open(JPEG_INDEX_BUDGET_BYTES, visits.file.byte_count / 8);
		visits.decoder = decoder_open(&visits.limits);
		visit_whole(&visits, &(struct decode_want){{20, 300, 10, 10}, 3, 8, false});
		assert_true(segment_store_find(visits.limits.segment_store, 1, &now, &segments));
		damage(visits.file, 1000 + check_below((uint32_t)visits.file.byte_count - 2000), 300);
		for (int i = 0; i < 20; i++) {
			struct decode_want want = {random_box(320, 320), 3, 8, false};
			struct file_bytes file = file_whole(visits.file);
			enum item_status first, second;
			struct file_runs *runs;
			struct pixels out;
			uint8_t *bytes;

			want.region.width = (want.region.width + 3) / 4;
			if (!decode_runs_again(&segments, &visits.limits, &want, &runs))
				continue;
			first = decode_region(visits.decoder, &file, &visits.info, &want, &out);
			bytes = runs_read(visits.file, runs);
			file = file_bytes_in_runs(bytes, runs, &segments);
			second = decode_region(visits.decoder, &file, &visits.info, &want, &out);
			assert_true(first == ITEM_OK || second != ITEM_OK);
			read_count++;
			sound_count += second == ITEM_OK;
			free(bytes);
			free(runs);
		}
		close_visits(&visits);
	}
	assert_true(read_count > 200 && sound_count > 100 && sound_count < read_count);
}

/* Damaged behind the region that was visited: the region is as it should be, but no table is made. */
static void a_file_with_an_odd_marker_is_not_remembered(void **state)
{
	const struct decode_want want = {{20, 150, 10, 10}, 3, 8, false};
	struct segments segments;

	(void)state;
	for (int cut = 0; cut < 2; cut++) {
		struct visits visits = open_visits(jpeg_encode(
			&(struct jpeg_recipe){.width_px = 300, .height_px = 300, .stored = JCS_YCbCr, .restart_mcus = 19}));
		size_t last = visits.file.byte_count - 3;

		while (visits.file.bytes[last] != 0xff || (visits.file.bytes[last + 1] & 0xf8) != 0xd0)
			last--;
		if (cut)
			visits.file.byte_count -= 2;
		else
			visits.file.bytes[last + 1] ^= 1;
		visit_whole(&visits, &want);
		assert_false(segment_store_find(visits.limits.segment_store, 1, &now, &segments));
		close_visits(&visits);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_table_is_for_a_file_as_it_was),
		cmocka_unit_test(what_comes_when_it_is_full_is_not_kept),
		cmocka_unit_test(threads_share_a_store),
		cmocka_unit_test(a_second_visit_takes_what_the_first_has_found),
		cmocka_unit_test(later_visits_tell_no_less_of_damage),
		cmocka_unit_test(a_file_with_an_odd_marker_is_not_remembered),
	};

	check_state = seed_of_test("test_segment_store");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
