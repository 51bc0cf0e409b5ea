/* test_queue.c - items come out in the order they went in, from the front first, and closing wakes everyone. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "loader/run/queue.h"

static void items_come_out_in_order_and_retries_first(void **state)
{
	struct item items[4] = {{.row = 0}, {.row = 1}, {.row = 2}, {.row = 3}};
	struct queue queue;

	(void)state;
	queue_open(&queue);
	assert_null(queue_try_pop(&queue));
	queue_push(&queue, &items[0]);
	queue_push(&queue, &items[1]);
	queue_push_front(&queue, &items[2]);
	assert_int_equal(queue_length(&queue), 3);
	assert_ptr_equal(queue_pop(&queue), &items[2]);
	assert_ptr_equal(queue_pop(&queue), &items[0]);
	queue_push(&queue, &items[3]);
	assert_ptr_equal(queue_try_pop(&queue), &items[1]);
	assert_ptr_equal(queue_pop(&queue), &items[3]);
	assert_null(queue_try_pop(&queue));
	queue_push_front(&queue, &items[0]);
	queue_push(&queue, &items[1]);
	assert_ptr_equal(queue_pop(&queue), &items[0]);
	assert_ptr_equal(queue_pop(&queue), &items[1]);
	queue_destroy(&queue);
}

enum { ITEM_COUNT = 20000, POPPER_COUNT = 3 };

struct relay {
	struct queue queue;
	struct item items[ITEM_COUNT];
	_Atomic uint32_t popped;
};

static void *pop_until_closed(void *argument)
{
	struct relay *relay = argument;
	struct item *item;

	while ((item = queue_pop(&relay->queue)) != NULL) {
		item->attempt++;
		atomic_fetch_add(&relay->popped, 1);
	}
	return NULL;
}

static void every_item_is_popped_exactly_once_by_many_threads(void **state)
{
	static struct relay relay;
	pthread_t threads[POPPER_COUNT];

	(void)state;
	queue_open(&relay.queue);
	for (int i = 0; i < POPPER_COUNT; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pop_until_closed, &relay), 0);
	for (int i = 0; i < ITEM_COUNT; i++)
		queue_push(&relay.queue, &relay.items[i]);
	while (atomic_load(&relay.popped) < ITEM_COUNT)
		sched_yield();
	queue_close(&relay.queue);
	for (int i = 0; i < POPPER_COUNT; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < ITEM_COUNT; i++)
		assert_int_equal(relay.items[i].attempt, 1);
	queue_destroy(&relay.queue);
}

static void a_closed_queue_gives_nothing_even_if_something_is_left(void **state)
{
	struct item item = {.row = 0};
	struct queue queue;

	(void)state;
	queue_open(&queue);
	queue_push(&queue, &item);
	queue_close(&queue);
	assert_null(queue_pop(&queue));
	assert_ptr_equal(queue_try_pop(&queue), &item);
	queue_destroy(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_come_out_in_order_and_retries_first),
		cmocka_unit_test(every_item_is_popped_exactly_once_by_many_threads),
		cmocka_unit_test(a_closed_queue_gives_nothing_even_if_something_is_left),
	};

	return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
