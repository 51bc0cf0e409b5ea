/* Indexes of JPEGs: which bytes they belong to, and the memory that threads share.  Four threads. */
#include <pthread.h>

#include "loader/decode/jpeg_index.h"
#include "loader/decode/jpeg_walk.h"
#include "tests/decode_check.h"
#include "tests/jpeg_recipe.h"

enum { THREAD_COUNT = 4, FILE_COUNT = 8, ROUNDS = 3000 };

struct walked {
	struct file file;
	struct file_bytes bytes;
	struct jpeg_header header;
	struct jpeg_scan scan;
};

static void make_walked(struct walked *walked, uint64_t id)
{
	walked->file = jpeg_encode(&(struct jpeg_recipe){.width_px = 300, .height_px = 160, .stored = JCS_YCbCr});
	walked->bytes = file_whole(walked->file);
	walked->bytes.id = id;
	assert_true(jpeg_header_read(walked->file.bytes, walked->file.byte_count, &walked->header));
	assert_true(jpeg_scan_read(&walked->header, &walked->scan));
}

static struct jpeg_index *walk(const struct walked *walked, const struct jpeg_index *known, uint32_t row_count)
{
	struct jpeg_index *index = jpeg_walk(&walked->bytes, &walked->header, &walked->scan, known, row_count);

	assert_non_null(index);
	return index;
}

static size_t end_of_row(const struct walked *walked, struct jpeg_index *index, uint32_t row)
{
	return walked->header.scan_at + (jpeg_index_row(index, row + 1)->position + 7) / 8;
}

static void an_index_fits_the_bytes_that_it_was_made_from(void **state)
{
	struct walked walked;
	struct jpeg_index *index;

	(void)state;
	make_walked(&walked, 1);
	index = walk(&walked, NULL, 12);
	for (uint32_t row_count = 1; row_count <= 14; row_count++) {
		size_t needed = end_of_row(&walked, index, row_count < 12 ? row_count - 1 : 11);

		assert_true(jpeg_index_fits(index, &walked.bytes, &walked.header, row_count));
		for (size_t at = 0; at < walked.file.byte_count; at += 1 + check_below(100)) {
			walked.file.bytes[at] ^= 1;
			assert_int_equal(jpeg_index_fits(index, &walked.bytes, &walked.header, row_count), at >= needed);
			walked.file.bytes[at] ^= 1;
		}
	}
	walked.bytes.byte_count--;
	assert_false(jpeg_index_fits(index, &walked.bytes, &walked.header, 1));
	free(index);
	free(walked.file.bytes);
}

static void a_walk_in_parts_gives_what_one_walk_gives(void **state)
{
	struct jpeg_index *whole, *part = NULL;
	struct walked walked;

	(void)state;
	make_walked(&walked, 1);
	whole = walk(&walked, NULL, 20);
	assert_int_equal(whole->row_count, 20);
	for (uint32_t row_count = 1; row_count <= 20; row_count += 1 + check_below(4)) {
		struct jpeg_index *longer = walk(&walked, part, row_count);

		free(part);
		part = longer;
		assert_int_equal(part->row_count, row_count);
		assert_memory_equal(part->checksums, whole->checksums, row_count * sizeof part->checksums[0]);
		assert_memory_equal(part->checkpoints, whole->checkpoints,
		                    (row_count * part->checkpoints_per_row + 1) * sizeof part->checkpoints[0]);
	}
	free(whole);
	free(part);
	free(walked.file.bytes);
}

/* Such as one whose header promises 65500x65500 pixels. */
static void a_file_is_not_given_more_memory_than_its_own_size(void **state)
{
	struct walked walked;

	(void)state;
	make_walked(&walked, 1);
	walked.header.grid.mcus_across = walked.header.grid.mcu_rows = 8188;
	assert_null(jpeg_walk(&walked.bytes, &walked.header, &walked.scan, NULL, 8188));
	free(walked.file.bytes);
}

static void a_full_store_keeps_what_it_has(void **state)
{
	struct jpeg_index_store *store;
	const struct jpeg_index *held;
	struct walked walked;
	struct jpeg_index *index;
	size_t one_bytes;

	(void)state;
	make_walked(&walked, 0);
	index = walk(&walked, NULL, 20);
	one_bytes = (size_t)((uint8_t *)(index->checksums + 20) - (uint8_t *)index);
	store = jpeg_index_store_open(3 * one_bytes + one_bytes / 2, 0);
	assert_non_null(store);
	jpeg_index_release(store, jpeg_index_keep(store, index));
	for (walked.bytes.id = 1; walked.bytes.id < 10; walked.bytes.id++)
		jpeg_index_release(store, jpeg_index_keep(store, walk(&walked, NULL, 20)));
	for (uint64_t id = 0; id < 10; id++) {
		held = jpeg_index_acquire(store, id);
		assert_int_equal(held != NULL, id < 3);
		if (held)
			jpeg_index_release(store, held);
	}

	/* A file's second index takes the place of its first one, which whoever has it may go on reading. */
	held = jpeg_index_acquire(store, 1);
	walked.bytes.id = 1;
	jpeg_index_release(store, jpeg_index_keep(store, walk(&walked, NULL, 10)));
	assert_int_equal(held->row_count, 20);
	jpeg_index_release(store, held);
	held = jpeg_index_acquire(store, 1);
	assert_int_equal(held->row_count, 10);
	jpeg_index_release(store, held);

	walked.bytes.id = FILE_BYTES_NO_ID;
	jpeg_index_release(store, jpeg_index_keep(store, walk(&walked, NULL, 1)));
	assert_null(jpeg_index_acquire(store, FILE_BYTES_NO_ID));
	jpeg_index_store_close(store);
	free(walked.file.bytes);
}

struct sharing {
	struct jpeg_index_store *store;
	const struct walked *files;
	uint64_t seed;
};

static void *visit_files(void *argument)
{
	const struct sharing *sharing = argument;
	uint64_t random = sharing->seed;
	uint64_t wrong_count = 0;

	for (int i = 0; i < ROUNDS; i++) {
		const struct walked *walked = &sharing->files[seed_between(&random, 0, FILE_COUNT - 1)];
		uint32_t row_count = (uint32_t)seed_between(&random, 1, 20);
		const struct jpeg_index *index = jpeg_index_acquire(sharing->store, walked->bytes.id);

		if (index && index->row_count < row_count) {
			struct jpeg_index *longer = jpeg_walk(&walked->bytes, &walked->header, &walked->scan, index, row_count);

			jpeg_index_release(sharing->store, index);
			index = jpeg_index_keep(sharing->store, longer);
		} else if (!index) {
			index = jpeg_index_keep(sharing->store,
			                        jpeg_walk(&walked->bytes, &walked->header, &walked->scan, NULL, row_count));
		}
		wrong_count += index->row_count < row_count || !jpeg_index_fits(index, &walked->bytes, &walked->header, row_count);
		jpeg_index_release(sharing->store, index);
	}
	return (void *)(uintptr_t)wrong_count;
}

static void threads_share_a_store(void **state)
{
	struct jpeg_index_store *store = jpeg_index_store_open(10000, 0); /* of the files only some fit into it */
	struct walked files[FILE_COUNT];
	struct sharing sharing[THREAD_COUNT];
	pthread_t threads[THREAD_COUNT];
	void *wrong_count;

	(void)state;
	assert_non_null(store);
	for (uint64_t i = 0; i < FILE_COUNT; i++)
		make_walked(&files[i], i);
	for (int i = 0; i < THREAD_COUNT; i++) {
		sharing[i] = (struct sharing){.store = store, .files = files, .seed = seed_next(&check_state)};
		assert_int_equal(pthread_create(&threads[i], NULL, visit_files, &sharing[i]), 0);
	}
	for (int i = 0; i < THREAD_COUNT; i++) {
		pthread_join(threads[i], &wrong_count);
		assert_null(wrong_count);
	}
	jpeg_index_store_close(store);
	for (int i = 0; i < FILE_COUNT; i++)
		free(files[i].file.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_index_fits_the_bytes_that_it_was_made_from),
		cmocka_unit_test(a_walk_in_parts_gives_what_one_walk_gives),
		cmocka_unit_test(a_file_is_not_given_more_memory_than_its_own_size),
		cmocka_unit_test(a_full_store_keeps_what_it_has),
		cmocka_unit_test(threads_share_a_store),
	};

	check_state = seed_of_test("test_jpeg_index");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
