/* test_request_queue.c - requests come out in order, and the queue tells when it has enough and when there is room again. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/run/request_queue.h"

/* A request that says which one it is. */
static void push(struct request_queue *queue, int number, size_t byte_count)
{
	int *bytes = malloc(sizeof *bytes);

	*bytes = number;
	request_queue_push(queue, (struct request){.bytes = bytes, .byte_count = byte_count});
}

static void expect(struct request_queue *queue, int number, bool makes_room)
{
	struct request request;
	bool made_room;

	assert_true(request_queue_pop(queue, &request, &made_room));
	assert_int_equal(*(int *)request.bytes, number);
	assert_int_equal(made_room, makes_room);
	free(request.bytes);
}

static void it_is_full_of_so_many_and_has_room_when_half_of_them_are_gone(void **state)
{
	struct request_queue queue;

	(void)state;
	request_queue_open(&queue);
	for (int turn = 0; turn < 3; turn++) {
		for (int i = 0; i < REQUEST_QUEUE_LIMIT; i++) {
			assert_true(request_queue_has_room(&queue));
			push(&queue, i, 1);
		}
		for (int i = 0; i < REQUEST_QUEUE_LIMIT; i++) {
			assert_int_equal(request_queue_has_room(&queue), i >= REQUEST_QUEUE_LIMIT / 2);
			expect(&queue, i, i == REQUEST_QUEUE_LIMIT / 2 - 1);
		}
	}
	request_queue_destroy(&queue);
}

static void it_is_full_of_so_many_bytes(void **state)
{
	struct request_queue queue;

	(void)state;
	request_queue_open(&queue);
	for (int i = 0; i < 4; i++) {
		assert_true(request_queue_has_room(&queue));
		push(&queue, i, SHMRING_MAX_REQUEST_BYTES);
	}
	assert_false(request_queue_has_room(&queue));
	for (int i = 0; i < 4; i++)
		expect(&queue, i, i == 2);
	request_queue_destroy(&queue);
}

static _Atomic int popped_count;

static void *pop_until_closed(void *argument)
{
	struct request request;
	bool made_room;

	while (request_queue_pop(argument, &request, &made_room)) {
		free(request.bytes);
		popped_count++;
	}
	return NULL;
}

static void what_is_left_at_the_end_is_not_handed_out(void **state)
{
	struct request_queue queue;
	struct request request;
	bool made_room;

	(void)state;
	request_queue_open(&queue);
	push(&queue, 1, 1);
	request_queue_close(&queue);
	assert_false(request_queue_pop(&queue, &request, &made_room));
	request_queue_destroy(&queue);
}

static void whoever_waits_gets_the_next_one_or_learns_of_the_end(void **state)
{
	struct request_queue queue;
	pthread_t thread;

	(void)state;
	request_queue_open(&queue);
	assert_int_equal(pthread_create(&thread, NULL, pop_until_closed, &queue), 0);
	for (int i = 0; i < 10; i++) {
		usleep(1000);
		push(&queue, i, 1);
	}
	for (int attempts = 0; popped_count < 10; attempts++) {
		assert_true(attempts < 20000);
		usleep(1000);
	}
	request_queue_close(&queue);
	pthread_join(thread, NULL);
	push(&queue, 10, 1); /* what is left is freed with it */
	request_queue_destroy(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_full_of_so_many_and_has_room_when_half_of_them_are_gone),
		cmocka_unit_test(it_is_full_of_so_many_bytes),
		cmocka_unit_test(what_is_left_at_the_end_is_not_handed_out),
		cmocka_unit_test(whoever_waits_gets_the_next_one_or_learns_of_the_end),
	};

	return cmocka_run_group_tests_name("request_queue", tests, NULL, NULL);
}
