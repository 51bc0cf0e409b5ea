/* Tests of loader/fetch/buffers.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "loader/fetch/buffers.h"

#define LIMIT_BYTES ((uint64_t)64 << 20)

static struct buffers *open_pool(uint64_t max_file_bytes)
{
	struct buffers *pool;

	assert_int_equal(buffers_open(&pool, max_file_bytes, 0), 0);
	return pool;
}

static struct fetch_buffer *acquire(struct buffers *pool)
{
	struct fetch_buffer *buffer = NULL;

	assert_int_equal(buffers_acquire(pool, 0, BUFFERS_IN_TURN, &buffer), 0);
	assert_int_equal(buffer->byte_count, 0);
	return buffer;
}

static void learn_size(struct buffers *pool, size_t byte_count)
{
	struct fetch_buffer *buffer = acquire(pool);

	while (buffer->capacity_bytes <= byte_count)
		assert_int_equal(buffers_grow(pool, buffer, 2 * buffer->capacity_bytes), 0);
	buffer->byte_count = byte_count;
	buffers_learn(pool, buffer);
	buffers_release(pool, buffer);
}

static void a_buffer_is_page_aligned_and_writable_to_its_last_byte(void **state)
{
	struct buffers *pool = open_pool(LIMIT_BYTES);
	struct fetch_buffer *buffer = acquire(pool);

	(void)state;
	assert_int_equal((uintptr_t)buffer->data % 4096, 0);
	memset(buffer->data, 0xa5, buffer->capacity_bytes);
	buffers_release(pool, buffer);
	buffers_close(pool);
}

static void the_last_buffer_returned_is_the_first_handed_out(void **state)
{
	struct buffers *pool = open_pool(LIMIT_BYTES);
	struct fetch_buffer *first = acquire(pool), *second = acquire(pool);

	(void)state;
	assert_ptr_not_equal(first, second);
	buffers_release(pool, first);
	buffers_release(pool, second);
	assert_ptr_equal(acquire(pool), second);
	assert_ptr_equal(acquire(pool), first);
	buffers_release(pool, first);
	buffers_release(pool, second);
	buffers_close(pool);
}

static void growing_keeps_the_content(void **state)
{
	struct buffers *pool = open_pool(LIMIT_BYTES);
	struct fetch_buffer *buffer = acquire(pool);
	size_t before_bytes = buffer->capacity_bytes;

	(void)state;
	memset(buffer->data, 0x5a, before_bytes);
	buffer->byte_count = before_bytes;
	assert_int_equal(buffers_grow(pool, buffer, 2 * buffer->capacity_bytes), 0);
	assert_true(buffer->capacity_bytes > before_bytes);
	for (size_t i = 0; i < before_bytes; i++)
		assert_int_equal(buffer->data[i], 0x5a);
	buffer->data[buffer->capacity_bytes - 1] = 1;
	buffers_release(pool, buffer);
	buffers_close(pool);
}

static void growth_ends_one_byte_over_the_largest_file(void **state)
{
	static const uint64_t limits_bytes[] = {1, 4095, 4096, 4097, 1000003, 3 << 20};

	(void)state;
	for (size_t i = 0; i < sizeof limits_bytes / sizeof *limits_bytes; i++) {
		struct buffers *pool = open_pool(limits_bytes[i]);
		struct fetch_buffer *buffer = acquire(pool);

		while (buffers_grow(pool, buffer, 2 * buffer->capacity_bytes) == 0)
			;
		assert_int_equal(buffer->capacity_bytes, limits_bytes[i] + 1);
		assert_int_equal(buffers_grow(pool, buffer, 2 * buffer->capacity_bytes), -EFBIG);
		buffers_release(pool, buffer);
		buffers_close(pool);
	}
}

static void a_limit_beyond_all_memory_is_no_limit(void **state)
{
	struct buffers *pool = open_pool(UINT64_MAX);
	struct fetch_buffer *buffer = acquire(pool);
	int error;

	(void)state;
	while ((error = buffers_grow(pool, buffer, 2 * buffer->capacity_bytes)) == 0)
		assert_true(buffer->capacity_bytes < SIZE_MAX / 2);
	assert_int_equal(error, -ENOMEM);
	buffer->data[0] = 1; /* what it had it still has */
	buffers_release(pool, buffer);
	buffers_close(pool);
}

static void capacity_follows_the_sizes_seen(void **state)
{
	struct buffers *pool = open_pool(LIMIT_BYTES);
	struct fetch_buffer *buffer;
	size_t large_bytes;

	(void)state;
	for (int i = 0; i < 100; i++)
		learn_size(pool, 3000000);
	buffer = acquire(pool);
	large_bytes = buffer->capacity_bytes;
	buffers_release(pool, buffer);
	assert_in_range(large_bytes, 2900000, 6100000);

	for (int i = 0; i < 2000; i++)
		learn_size(pool, 10000);
	buffer = acquire(pool);
	assert_true(buffer->capacity_bytes < large_bytes / 4); /* the large one was trimmed */
	buffers_release(pool, buffer);
	buffers_close(pool);
}

static void one_huge_file_does_not_stay_in_memory(void **state)
{
	struct buffers *pool = open_pool(LIMIT_BYTES);
	struct fetch_buffer *buffer = acquire(pool);

	(void)state;
	while (buffers_grow(pool, buffer, 2 * buffer->capacity_bytes) == 0)
		;
	buffers_release(pool, buffer);
	buffer = acquire(pool);
	assert_true(buffer->capacity_bytes < LIMIT_BYTES / 8);
	buffers_release(pool, buffer);
	buffers_close(pool);
}

static struct buffers *open_pool_with_budget(uint64_t budget_bytes)
{
	struct buffers *pool;

	assert_int_equal(buffers_open(&pool, LIMIT_BYTES, budget_bytes), 0);
	return pool;
}

static void the_budget_holds_for_all_buffers_together(void **state)
{
	struct buffers *pool = open_pool_with_budget(10 << 20);
	struct fetch_buffer *held[64];
	size_t held_bytes = 0;
	uint32_t count = 0;

	(void)state;
	while (buffers_acquire(pool, 1 << 20, BUFFERS_IN_TURN, &held[count]) == 0)
		held_bytes += held[count++]->capacity_bytes;
	assert_int_equal(count, 10);
	assert_true(held_bytes <= 10 << 20);
	assert_int_equal(buffers_grow(pool, held[0], 2 << 20), -EAGAIN);
	assert_int_equal(held[0]->capacity_bytes, 1 << 20);
	buffers_release(pool, held[--count]);
	assert_int_equal(buffers_acquire(pool, 3 << 20, BUFFERS_NEXT, &held[count]), -EAGAIN);
	assert_int_equal(buffers_grow(pool, held[0], 2 << 20), 0);
	assert_int_equal(buffers_acquire(pool, 1, BUFFERS_IN_TURN, &held[count]), -EAGAIN);
	while (count > 0)
		buffers_release(pool, held[--count]);
	buffers_close(pool);
}

static void whoever_waits_longest_is_next(void **state)
{
	struct buffers *pool = open_pool_with_budget(10 << 20);
	struct fetch_buffer *buffer;

	(void)state;
	buffers_set_waiting(pool, true);
	assert_int_equal(buffers_acquire(pool, 1, BUFFERS_IN_TURN, &buffer), -EAGAIN);
	assert_int_equal(buffers_acquire(pool, 1, BUFFERS_NEXT, &buffer), 0);
	buffers_release(pool, buffer);
	buffers_set_waiting(pool, false);
	assert_int_equal(buffers_acquire(pool, 1, BUFFERS_IN_TURN, &buffer), 0);
	buffers_release(pool, buffer);
	buffers_close(pool);
}

static void one_file_may_go_over_the_budget_when_nothing_else_goes_on(void **state)
{
	struct buffers *pool = open_pool_with_budget(1 << 20);
	struct fetch_buffer *lost, *large;

	(void)state;
	assert_int_equal(buffers_acquire(pool, 1 << 19, BUFFERS_IN_TURN, &lost), 0);
	buffers_forsake(pool, lost);
	assert_int_equal(buffers_acquire(pool, 1 << 20, BUFFERS_NEXT, &large), -EAGAIN);
	assert_int_equal(buffers_acquire(pool, 5 << 20, BUFFERS_AT_ANY_COST, &large), 0);
	assert_true(large->capacity_bytes >= 5 << 20);
	large->data[(5 << 20) - 1] = 1;
	buffers_release(pool, large);
	buffers_close(pool);
}

static void what_went_over_the_budget_is_not_kept(void **state)
{
	struct buffers *pool = open_pool_with_budget(100000);
	struct fetch_buffer *large;

	(void)state;
	assert_int_equal(buffers_acquire(pool, 150000, BUFFERS_AT_ANY_COST, &large), 0);
	buffers_release(pool, large);
	assert_int_equal(buffers_kept_bytes(pool), 0);
	buffers_close(pool);
}

/* What was given back makes room for who asks for more than is left beside it. */
static void what_lies_unused_counts_and_makes_room(void **state)
{
	struct buffers *pool = open_pool_with_budget(8 << 20);
	struct fetch_buffer *held[4], *large;

	(void)state;
	for (int i = 0; i < 60; i++)
		learn_size(pool, 1500000);
	for (int i = 0; i < 4; i++)
		assert_int_equal(buffers_acquire(pool, 1500000, BUFFERS_IN_TURN, &held[i]), 0);
	for (int i = 0; i < 4; i++)
		buffers_release(pool, held[i]);
	assert_int_equal(buffers_acquire(pool, 7 << 20, BUFFERS_IN_TURN, &large), 0);
	assert_int_equal(buffers_kept_bytes(pool), 0);
	buffers_release(pool, large);
	buffers_close(pool);
}

static void a_buffer_may_outlive_the_pool(void **state)
{
	struct buffers *pool = open_pool(LIMIT_BYTES);
	struct fetch_buffer *buffer = acquire(pool), *lost = acquire(pool);

	(void)state;
	buffers_close(pool);
	buffer->data[0] = 1;
	buffers_release(pool, buffer);
	buffers_forsake(pool, lost); /* the last one frees the pool: LeakSanitizer looks */
	lost->data[0] = 1;
}

static void *churn(void *argument)
{
	struct buffers *pool = argument;

	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t stamp = i * 2654435761u;
		struct fetch_buffer *buffer;

		if (buffers_acquire(pool, 0, BUFFERS_IN_TURN, &buffer) != 0)
			return argument;
		if (i % 64 == 0)
			(void)buffers_grow(pool, buffer, 2 * buffer->capacity_bytes);
		memcpy(buffer->data, &stamp, sizeof stamp);
		buffer->byte_count = i % 200000;
		if (memcmp(buffer->data, &stamp, sizeof stamp) != 0)
			return argument; /* two threads had the same buffer */
		buffers_learn(pool, buffer);
		buffers_release(pool, buffer);
	}
	return NULL;
}

static void threads_share_a_pool(void **state)
{
	struct buffers *pool = open_pool(LIMIT_BYTES);
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, pool), 0);
	for (size_t i = 0; i < 4; i++) {
		void *failure;

		pthread_join(threads[i], &failure);
		assert_null(failure);
	}
	buffers_close(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_is_page_aligned_and_writable_to_its_last_byte),
		cmocka_unit_test(the_last_buffer_returned_is_the_first_handed_out),
		cmocka_unit_test(growing_keeps_the_content),
		cmocka_unit_test(growth_ends_one_byte_over_the_largest_file),
		cmocka_unit_test(a_limit_beyond_all_memory_is_no_limit),
		cmocka_unit_test(capacity_follows_the_sizes_seen),
		cmocka_unit_test(one_huge_file_does_not_stay_in_memory),
		cmocka_unit_test(the_budget_holds_for_all_buffers_together),
		cmocka_unit_test(whoever_waits_longest_is_next),
		cmocka_unit_test(one_file_may_go_over_the_budget_when_nothing_else_goes_on),
		cmocka_unit_test(what_went_over_the_budget_is_not_kept),
		cmocka_unit_test(what_lies_unused_counts_and_makes_room),
		cmocka_unit_test(a_buffer_may_outlive_the_pool),
		cmocka_unit_test(threads_share_a_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
