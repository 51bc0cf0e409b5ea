/* test_trace.c - events of many threads become lines of JSON, each whole; what cannot be kept is counted, and nobody waits. */
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/item_status.h"
#include "loader/run/log.h"
#include "loader/run/trace_writer.h"
#include "tests/ring_fixture.h"

/* ------------------------------------------------------------------ buffers */

enum { MANY = 200000 };

struct adding {
	struct trace *trace;
	_Atomic bool done;
};

static void *add_many(void *argument)
{
	struct adding *adding = argument;

	for (uint32_t i = 0; i < MANY; i++)
		trace_add(adding->trace, TRACE_FETCHER,
		          &(struct trace_event){.kind = TRACE_READ, .sequence = i, .sample = ~(uint64_t)i});
	atomic_store(&adding->done, true);
	return NULL;
}

static void events_of_a_thread_come_whole_and_in_order_or_are_counted(void **state)
{
	struct adding adding = {.done = false};
	struct trace_event event;
	uint64_t taken_count = 0;
	int64_t last = -1;
	pthread_t thread;
	bool done = false;

	(void)state;
	assert_int_equal(trace_open(&adding.trace, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, add_many, &adding), 0);
	while (!done) {
		done = atomic_load(&adding.done);
		while (trace_take(adding.trace, TRACE_FETCHER, &event)) {
			assert_true((int64_t)event.sequence > last);
			assert_true(event.sample == ~(uint64_t)event.sequence);
			last = event.sequence;
			taken_count++;
		}
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(taken_count + trace_dropped_count(adding.trace), MANY);
	assert_false(trace_take(adding.trace, TRACE_PLANNER, &event)); /* which is another thread's */
	trace_close(adding.trace);
}

static void a_stopped_trace_records_nothing(void **state)
{
	struct trace_event event = {.kind = TRACE_PLAN};
	struct trace *trace;

	(void)state;
	assert_int_equal(trace_open(&trace, 1), 0);
	trace_stop(trace);
	trace_add(trace, TRACE_PLANNER, &event);
	assert_false(trace_take(trace, TRACE_PLANNER, &event));
	assert_int_equal(trace_dropped_count(trace), 0);
	trace_close(trace);
}

/* ------------------------------------------------------------------ slots */

static void assert_spans(const struct shmring_times *times, const enum trace_kind *kinds, uint32_t kind_count)
{
	struct trace_event event;
	struct trace *trace;

	assert_int_equal(trace_open(&trace, 1), 0);
	trace_add_slot(trace, TRACE_PLANNER, 5, times, 1000);
	for (uint32_t i = 0; i < kind_count; i++) {
		assert_true(trace_take(trace, TRACE_PLANNER, &event));
		assert_int_equal(event.kind, kinds[i]);
		assert_true(event.begin_ns <= event.end_ns && event.end_ns <= 1000);
		assert_int_equal(event.track, event.kind == TRACE_TRAINER_WAITS ? times->reader : 5);
	}
	assert_false(trace_take(trace, TRACE_PLANNER, &event));
	trace_close(trace);
}

static void a_slots_times_become_spans_up_to_where_they_are_known(void **state)
{
	static const enum trace_kind all[] = {TRACE_FILLING, TRACE_READY, TRACE_HELD, TRACE_TRAINER_WAITS};
	struct shmring_times times = {.reader = 2};

	(void)state;
	assert_spans(&times, all, 0); /* nothing was ever in it */
	times.claimed_ns = 100;
	assert_spans(&times, all, 1);
	times.ready_ns = 200;
	assert_spans(&times, all, 2);
	times.acquired_ns = 300;
	assert_spans(&times, all, 3);
	times.released_ns = 400;
	assert_spans(&times, all, 3);
	times.waited_ns = 50;
	assert_spans(&times, all, 4);
}

/* Readers write a part of them. */
static void times_that_cannot_be_are_left_out(void **state)
{
	static const enum trace_kind all[] = {TRACE_FILLING, TRACE_READY, TRACE_HELD};
	const struct shmring_times good = {.claimed_ns = 100, .ready_ns = 200, .acquired_ns = 300, .released_ns = 400, .reader = 2};
	struct shmring_times bad;

	(void)state;
	bad = good, bad.ready_ns = 50;
	assert_spans(&bad, all, 0);
	bad = good, bad.acquired_ns = 150;
	assert_spans(&bad, all, 1);
	bad = good, bad.acquired_ns = UINT64_MAX;
	assert_spans(&bad, all, 1);
	bad = good, bad.released_ns = 250;
	assert_spans(&bad, all, 2);
	bad = good, bad.released_ns = 5000;
	assert_spans(&bad, all, 2);
	bad = good, bad.reader = 24;
	assert_spans(&bad, all, 2);
	bad = good, bad.waited_ns = UINT64_MAX;
	assert_spans(&bad, all, 3);
}

/* ------------------------------------------------------------------ the file */

static char path[64];

static int make_path(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/trace-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	log_open(-1, false); /* warnings are not for the tests' output */
	return 0;
}

static int drop_path(void **state)
{
	(void)state;
	return unlink(path);
}

static struct trace_writer begin(const struct shmring_producer *producer, bool goes_on)
{
	struct trace_writer writer = {.trace = NULL};
	struct err err;

	assert_int_equal(trace_writer_open(&writer, path, goes_on, &err), 0);
	assert_int_equal(trace_writer_begin(&writer, producer, RING_SLOTS, 2), 0);
	return writer;
}

static json_t *read_trace(void)
{
	json_error_t error;
	json_t *events = json_load_file(path, 0, &error);

	if (!json_is_array(events))
		fail_msg("%s:%d: %s", path, error.line, error.text);
	return events;
}

static uint32_t count_events(const json_t *events, const char *phase, const char *name)
{
	uint32_t count = 0;

	for (size_t i = 0; i < json_array_size(events); i++) {
		const json_t *event = json_array_get(events, i);

		assert_true(json_is_integer(json_object_get(event, "pid")));
		count += strcmp(json_string_value(json_object_get(event, "ph")), phase) == 0 &&
		         (!name || strcmp(json_string_value(json_object_get(event, "name")), name) == 0);
	}
	return count;
}

static void every_kind_of_event_is_a_line_of_json(void **state)
{
	struct shmring_producer *producer = ring_create("trace", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct trace_writer writer = begin(producer, false);
	struct shmring_slot slot;
	json_t *events;

	(void)state;
	for (uint8_t kind = TRACE_FILLING; kind <= TRACE_SHAPE; kind++)
		trace_add(writer.trace, TRACE_FIRST_DECODER + 1,
		          &(struct trace_event){.kind = kind,
		                                .begin_ns = UINT64_MAX - 5,
		                                .end_ns = UINT64_MAX,
		                                .sample = INT64_MAX,
		                                .sequence = UINT32_MAX,
		                                .epoch = UINT32_MAX,
		                                .track = 3,
		                                .status = kind == TRACE_READ ? ITEM_NOT_AN_IMAGE : ITEM_OK});
	assert_int_equal(shmring_claim(producer, 0, &slot), 0); /* which is in its slot still when the end comes */
	assert_true(trace_writer_step(&writer, "trace"));
	trace_writer_end(&writer, "trace");
	trace_writer_close(&writer);
	events = read_trace();
	assert_int_equal(count_events(events, "X", NULL), TRACE_SHAPE + 1); /* all kinds but the read, and the slot's filling */
	assert_int_equal(count_events(events, "X", "filling"), 2);
	assert_int_equal(count_events(events, "b", item_status_name(ITEM_NOT_AN_IMAGE)), 1);
	assert_int_equal(count_events(events, "e", NULL), 1);
	assert_true(count_events(events, "C", "ring") >= 1);
	assert_int_equal(count_events(events, "M", "thread_name"), 2 + RING_SLOTS + 1 + 2);
	assert_int_equal(count_events(events, "i", "end"), 1);
	json_decref(events);
	shmring_destroy(producer);
}

static void many_events_lose_none_while_there_is_room(void **state)
{
	struct shmring_producer *producer = ring_create("many", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct trace_writer writer = begin(producer, false);
	json_t *events;

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 1000; i++)
			trace_add(writer.trace, TRACE_FIRST_DECODER,
			          &(struct trace_event){.kind = TRACE_DECODE, .begin_ns = 1, .end_ns = 2});
		while (!trace_writer_step(&writer, "many"))
			usleep(100);
	}
	trace_writer_end(&writer, "many");
	trace_writer_close(&writer);
	events = read_trace();
	assert_int_equal(count_events(events, "X", "decode"), 20000);
	json_decref(events);
	shmring_destroy(producer);
}

static void two_workers_make_one_file(void **state)
{
	struct shmring_producer *producer = ring_create("two", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	json_t *events;

	(void)state;
	for (int worker = 0; worker < 2; worker++) {
		struct trace_writer writer = begin(producer, worker > 0);

		writer.pid = 100 + worker;
		trace_add(writer.trace, TRACE_PLANNER, &(struct trace_event){.kind = TRACE_PLAN, .begin_ns = 1, .end_ns = 2});
		trace_writer_end(&writer, "two");
		trace_writer_close(&writer);
	}
	events = read_trace();
	assert_int_equal(count_events(events, "X", "plan"), 2);
	assert_int_equal(count_events(events, "i", "end"), 2);
	json_decref(events);
	shmring_destroy(producer);
}

static void a_full_trace_says_so_and_ends_well(void **state)
{
	struct shmring_producer *producer = ring_create("full", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct trace_writer writer = begin(producer, false);
	const struct trace_event event = {.kind = TRACE_PLAN, .begin_ns = 1, .end_ns = 2};
	json_t *events;

	(void)state;
	writer.limit_bytes = 100000;
	for (int i = 0; i < 100; i++) {
		for (int k = 0; k < 100; k++)
			trace_add(writer.trace, TRACE_PLANNER, &event);
		while (!trace_writer_step(&writer, "full"))
			usleep(100);
	}
	assert_true(writer.is_full);
	trace_writer_end(&writer, "full");
	assert_true(writer.written_bytes < 200000);
	trace_writer_close(&writer);
	events = read_trace();
	assert_int_equal(count_events(events, "i", "recording stopped: the file is full"), 1);
	json_decref(events);
	shmring_destroy(producer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_of_a_thread_come_whole_and_in_order_or_are_counted),
		cmocka_unit_test(a_stopped_trace_records_nothing),
		cmocka_unit_test(a_slots_times_become_spans_up_to_where_they_are_known),
		cmocka_unit_test(times_that_cannot_be_are_left_out),
		cmocka_unit_test_setup_teardown(every_kind_of_event_is_a_line_of_json, make_path, drop_path),
		cmocka_unit_test_setup_teardown(many_events_lose_none_while_there_is_room, make_path, drop_path),
		cmocka_unit_test_setup_teardown(two_workers_make_one_file, make_path, drop_path),
		cmocka_unit_test_setup_teardown(a_full_trace_says_so_and_ends_well, make_path, drop_path),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
