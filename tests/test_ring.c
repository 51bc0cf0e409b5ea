/* test_ring.c - batches pass from producer to reader whole, in order, and not before; slots come back; every end is seen. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "shmring/producer.h"
#include "shmring/slot.h"
#include "tests/ring_fixture.h"

static void publish(struct shmring_producer *producer, int64_t stamp)
{
	struct shmring_slot slot;

	assert_int_equal(shmring_claim(producer, 1000, &slot), 0);
	ring_fill(&slot, stamp);
	shmring_commit(producer, &slot, 5, RING_ROWS);
}

static void a_batch_arrives_whole_with_its_numbers(void **state)
{
	struct shmring_producer *producer = ring_create("whole", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct shmring_lease lease;

	(void)state;
	assert_int_equal(shmring_acquire(reader, 0, &lease), -ETIMEDOUT);
	publish(producer, 42);
	assert_int_equal(shmring_acquire(reader, 0, &lease), 0);
	assert_int_equal(lease.sequence, 0);
	assert_int_equal(lease.epoch, 5);
	assert_int_equal(lease.row_count, RING_ROWS);
	assert_true(ring_is_filled_with(reader, &lease, 42));
	assert_int_equal((uintptr_t)shmring_lease_data(reader, &lease, 1) % 256, 0);
	assert_int_equal(shmring_release(reader, &lease), 0);
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void batches_become_visible_in_order_however_they_finish(void **state)
{
	struct shmring_producer *producer = ring_create("order", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct shmring_slot slot[RING_SLOTS];
	struct shmring_lease lease;

	(void)state;
	for (int i = 0; i < RING_SLOTS; i++) {
		assert_int_equal(shmring_claim(producer, 0, &slot[i]), 0);
		ring_fill(&slot[i], i);
	}
	assert_int_equal(shmring_claim(producer, 0, &slot[0]), -ETIMEDOUT);
	shmring_commit(producer, &slot[2], 0, RING_ROWS);
	shmring_commit(producer, &slot[1], 0, RING_ROWS);
	assert_int_equal(shmring_acquire(reader, 0, &lease), -ETIMEDOUT);
	assert_int_equal(shmring_published(producer), 0);
	shmring_commit(producer, &slot[0], 0, RING_ROWS);
	for (uint32_t i = 0; i < RING_SLOTS; i++) {
		assert_int_equal(shmring_acquire(reader, 0, &lease), 0);
		assert_int_equal(lease.sequence, i);
		assert_true(ring_is_filled_with(reader, &lease, i));
		assert_int_equal(shmring_release(reader, &lease), 0);
	}
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void a_held_slot_is_never_reused_and_holding_all_is_an_error(void **state)
{
	struct shmring_producer *producer = ring_create("held", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct shmring_lease lease[RING_SLOTS], more;
	struct shmring_slot slot;

	(void)state;
	for (int i = 0; i < RING_SLOTS; i++) {
		publish(producer, i);
		assert_int_equal(shmring_acquire(reader, 0, &lease[i]), 0);
	}
	assert_int_equal(shmring_acquire(reader, -1, &more), -EDEADLK);
	assert_int_equal(shmring_claim(producer, 0, &slot), -ETIMEDOUT);
	for (int i = 0; i < RING_SLOTS; i++)
		assert_true(ring_is_filled_with(reader, &lease[i], i));
	/* given back in any order: the middle one is the one that is used again */
	assert_int_equal(shmring_release(reader, &lease[1]), 0);
	publish(producer, 77);
	assert_true(ring_is_filled_with(reader, &lease[0], 0));
	assert_true(ring_is_filled_with(reader, &lease[2], 2));
	assert_int_equal(shmring_acquire(reader, 0, &lease[1]), 0);
	assert_true(ring_is_filled_with(reader, &lease[1], 77));
	for (int i = 0; i < RING_SLOTS; i++)
		assert_int_equal(shmring_release(reader, &lease[i]), 0);
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void every_ready_batch_is_drained_before_the_end_is_seen(void **state)
{
	static const struct {
		enum shmring_end end;
		int expected;
	} ends[] = {{SHMRING_COMPLETE, -ENODATA}, {SHMRING_STOPPED, -EPIPE}, {SHMRING_FAILED, -EPIPE}};

	(void)state;
	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
		struct shmring_producer *producer = ring_create("drain", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
		struct shmring_reader *reader = ring_adopt_reader(producer);
		struct shmring_lease lease;
		char text[64];

		publish(producer, 1);
		publish(producer, 2);
		shmring_finish(producer, ends[i].end, "because");
		shmring_finish(producer, SHMRING_RUNNING, "too late");
		assert_int_equal(shmring_acquire(reader, -1, &lease), 0);
		assert_int_equal(shmring_release(reader, &lease), 0);
		assert_int_equal(shmring_acquire(reader, -1, &lease), 0);
		assert_int_equal(shmring_release(reader, &lease), 0);
		assert_int_equal(shmring_acquire(reader, -1, &lease), ends[i].expected);
		assert_int_equal(shmring_end_text(reader, text, sizeof text), ends[i].end);
		assert_string_equal(text, "because");
		shmring_detach(reader);
		shmring_destroy(producer);
	}
}

static void a_lease_keeps_the_mapping_after_reader_and_producer_are_gone(void **state)
{
	struct shmring_producer *producer = ring_create("keep", SHMRING_SEGMENT_MEMFD, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct shmring_lease lease;

	(void)state;
	publish(producer, 9);
	assert_int_equal(shmring_acquire(reader, 0, &lease), 0);
	shmring_destroy(producer);
	shmring_detach(reader);
	assert_true(ring_is_filled_with(reader, &lease, 9));
	assert_int_equal(shmring_release(reader, &lease), 0);
}

static void broadcast_views_cannot_be_written(void **state)
{
	struct shmring_producer *producer = ring_create("broadcast", SHMRING_SEGMENT_AUTO, SHMRING_BROADCAST);
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct shmring_lease lease;
	pid_t child;
	int status;

	(void)state;
	assert_false(shmring_writable(reader));
	publish(producer, 1);
	assert_int_equal(shmring_acquire(reader, 0, &lease), 0);
	child = fork();
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile uint8_t *)shmring_lease_data(reader, &lease, 0) = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0); /* a sanitizer turns the signal into an exit code */
	assert_int_equal(shmring_release(reader, &lease), 0);
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void an_overwritten_slot_word_ends_the_ring_for_both_sides(void **state)
{
	const struct {
		const char *what;
		uint64_t word;
	} lies[] = {
		{"wrong sequence", slot_word(7, 0, LAYOUT_READY)},
		{"no such state", slot_word(0, 0, (enum layout_state)9)},
		{"held by nobody", slot_word(0, 0, LAYOUT_HELD)},
		{"held by two", slot_word(0, 3, LAYOUT_HELD)},
		{"held by a stranger", slot_word(0, 32, LAYOUT_HELD)},
		{"ready with a mask", slot_word(0, 1, LAYOUT_READY)},
		{"filling, but not by us", slot_word(0, 0, LAYOUT_FILLING)},
		{"seen", slot_word(0, 0, LAYOUT_READY) | 0x80},
	};

	(void)state;
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		struct shmring_producer *producer = ring_create("scribble", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
		struct shmring_reader *reader = ring_adopt_reader(producer);
		struct shmring_lease lease, more;
		struct shmring_slot slot;
		size_t byte_count;
		void *base = (void *)(uintptr_t)shmring_mapping(reader, &byte_count);

		publish(producer, 0);
		assert_int_equal(shmring_acquire(reader, 0, &lease), 0);
		assert_int_equal(shmring_audit(producer), 0);
		atomic_store(&layout_map(base).slot[lease.slot].word, lies[i].word);
		if (shmring_audit(producer) != -EPROTO)
			fail_msg("not noticed: %s", lies[i].what);
		assert_int_equal(shmring_claim(producer, 0, &slot), -EPROTO);
		assert_int_equal(shmring_acquire(reader, -1, &more), -EPROTO);
		assert_int_equal(shmring_release(reader, &lease), -ESTALE);
		shmring_detach(reader);
		shmring_destroy(producer);
	}
}

static void more_rows_than_a_batch_has_are_an_overwritten_ring(void **state)
{
	struct shmring_producer *producer = ring_create("rows", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct shmring_lease lease;

	(void)state;
	publish(producer, 0);
	producer->map.slot[0].row_count = RING_ROWS + 1;
	assert_int_equal(shmring_acquire(reader, 0, &lease), -EPROTO);
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void who_holds_too_many_learns_so_before_the_end(void **state)
{
	struct shmring_producer *producer = ring_create("too-many", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct shmring_lease lease[RING_SLOTS], more;

	(void)state;
	for (int i = 0; i < RING_SLOTS; i++) {
		publish(producer, i);
		assert_int_equal(shmring_acquire(reader, 0, &lease[i]), 0);
	}
	assert_int_equal(shmring_release(reader, &lease[0]), 0);
	publish(producer, RING_SLOTS);
	assert_int_equal(shmring_acquire(reader, 0, &lease[0]), 0);
	producer->map.slot[lease[0].slot].word = slot_word(lease[0].sequence, 0, LAYOUT_READY); /* a batch is left */
	shmring_finish(producer, SHMRING_COMPLETE, NULL);
	assert_int_equal(shmring_acquire(reader, 0, &more), -EDEADLK);
	for (int i = 0; i < RING_SLOTS; i++)
		assert_int_equal(shmring_release(reader, &lease[i]), i == 0 ? -ESTALE : 0);
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void let_it_pass(int number)
{
	(void)number;
}

static void ring_alarms(suseconds_t every_us, struct sigaction *before)
{
	const struct itimerval often = {.it_interval = {.tv_usec = every_us}, .it_value = {.tv_usec = every_us}};
	const struct sigaction act = {.sa_handler = let_it_pass};

	assert_int_equal(sigaction(SIGALRM, &act, before), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
}

static void stop_alarms(const struct sigaction *before)
{
	const struct itimerval never = {0};

	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, before, NULL), 0);
}

static void a_signal_ends_a_wait(void **state)
{
	struct shmring_producer *producer = ring_create("signal", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct shmring_lease lease;
	struct sigaction before;
	int rc;

	(void)state;
	ring_alarms(5000, &before);
	rc = shmring_acquire(reader, 20000, &lease);
	stop_alarms(&before);
	assert_int_equal(rc, -EINTR);
	shmring_detach(reader);
	shmring_destroy(producer);
}

/* A look at the pidfd can be interrupted too, although it does not wait. */
static void signals_are_not_taken_for_the_producers_death(void **state)
{
	struct shmring_producer *producer = ring_create("alarms", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct shmring_lease lease;
	struct sigaction before;
	int rc = 0;

	(void)state;
	ring_alarms(20, &before);
	for (int i = 0; i < 100000 && rc != -EPIPE; i++)
		rc = shmring_acquire(reader, 0, &lease);
	stop_alarms(&before);
	assert_true(rc == -ETIMEDOUT || rc == -EINTR);
	shmring_detach(reader);
	shmring_destroy(producer);
}

/* Nobody would ever take these, and nobody gives back what he does not take: a slot less, and not a word about it. */
static void words_that_would_lose_a_slot_in_silence_are_noticed(void **state)
{
	const struct {
		const char *what;
		uint32_t slot;
		uint64_t word;
	} lies[] = {
		{"nobody's, though unread", 0, slot_word(0, 0, LAYOUT_READY)},
		{"one reader's, though nobody has read it", 0, slot_word(0, 1, LAYOUT_READY)},
		{"ready, though nothing was ever in it", 2, slot_word(0, 0, LAYOUT_READY)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		struct shmring_producer *producer =
			ring_create_as("lost", &(struct ring_plan){.share = SHMRING_BROADCAST, .readers = 2});
		struct shmring_reader *readers[2] = {ring_adopt_reader(producer), ring_adopt_reader(producer)};
		size_t byte_count;
		void *base = (void *)(uintptr_t)shmring_mapping(readers[0], &byte_count);

		publish(producer, 0);
		assert_int_equal(layout_map(base).slot[0].word, slot_word(0, 3, LAYOUT_READY));
		assert_int_equal(shmring_audit(producer), 0);
		atomic_store(&layout_map(base).slot[lies[i].slot].word, lies[i].word);
		if (shmring_audit(producer) != -EPROTO)
			fail_msg("not noticed: %s", lies[i].what);
		shmring_detach(readers[0]);
		shmring_detach(readers[1]);
		shmring_destroy(producer);
	}
}

static void a_cancelled_claim_returns_at_once_and_for_good(void **state)
{
	struct shmring_producer *producer = ring_create("cancel", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_slot slot;

	(void)state;
	assert_int_equal(shmring_claim(producer, 0, &slot), 0);
	shmring_cancel_claims(producer);
	assert_int_equal(shmring_claim(producer, -1, &slot), -ECANCELED);
	assert_int_equal(shmring_claim(producer, -1, &slot), -ECANCELED);
	shmring_destroy(producer);
}

static void counters_and_last_lines_reach_the_reader(void **state)
{
	struct shmring_producer *producer = ring_create("counters", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);
	char text[64], line[32];

	(void)state;
	shmring_counter_add(producer, 0, 3);
	shmring_counter_add(producer, 0, 4);
	shmring_counter_set(producer, 1, 11);
	assert_int_equal(shmring_counter_count(reader), RING_COUNTERS);
	assert_string_equal(shmring_counter_name(reader, 1), "pears");
	assert_int_equal(shmring_counter(reader, 0), 7);
	assert_int_equal(shmring_counter(reader, 1), 11);
	shmring_last_lines(reader, text, sizeof text);
	assert_string_equal(text, "");
	for (int i = 0; i < 3000; i++) { /* several times round the circle */
		snprintf(line, sizeof line, "line number %d", i);
		shmring_log(producer, line);
	}
	shmring_last_lines(reader, text, sizeof text);
	assert_string_equal(text, "line number 2997\nline number 2998\nline number 2999\n");
	shmring_detach(reader);
	shmring_destroy(producer);
}

/* One thread claims, two commit, one reads: the shape that TSan sees. */
enum { STREAM_BATCHES = 2000 };

struct stream {
	struct shmring_producer *producer;
	struct shmring_slot slot[STREAM_BATCHES];
	_Atomic uint32_t claimed, taken;
};

static void *fill_slots(void *argument)
{
	struct stream *stream = argument;

	for (;;) {
		uint32_t mine = atomic_fetch_add(&stream->taken, 1);

		if (mine >= STREAM_BATCHES)
			return NULL;
		while (atomic_load(&stream->claimed) <= mine)
			sched_yield();
		ring_fill(&stream->slot[mine], mine);
		shmring_commit(stream->producer, &stream->slot[mine], 0, RING_ROWS);
	}
}

static void *claim_slots(void *argument)
{
	struct stream *stream = argument;

	for (uint32_t i = 0; i < STREAM_BATCHES; i++) {
		while (shmring_claim(stream->producer, 100, &stream->slot[i]) != 0)
			;
		atomic_store(&stream->claimed, i + 1);
	}
	return NULL;
}

static void a_long_stream_through_threads_is_whole_and_in_order(void **state)
{
	struct stream *stream = calloc(1, sizeof *stream);
	struct shmring_reader *reader;
	pthread_t threads[3];

	(void)state;
	stream->producer = ring_create("stream", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	reader = ring_adopt_reader(stream->producer);
	assert_int_equal(pthread_create(&threads[0], NULL, claim_slots, stream), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, fill_slots, stream), 0);
	assert_int_equal(pthread_create(&threads[2], NULL, fill_slots, stream), 0);
	for (uint32_t i = 0; i < STREAM_BATCHES; i++) {
		struct shmring_lease lease;

		assert_int_equal(shmring_acquire(reader, 60000, &lease), 0);
		assert_int_equal(lease.sequence, i);
		assert_true(ring_is_filled_with(reader, &lease, i));
		assert_int_equal(shmring_release(reader, &lease), 0);
	}
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(shmring_audit(stream->producer), 0);
	shmring_detach(reader);
	shmring_destroy(stream->producer);
	free(stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_arrives_whole_with_its_numbers),
		cmocka_unit_test(batches_become_visible_in_order_however_they_finish),
		cmocka_unit_test(a_held_slot_is_never_reused_and_holding_all_is_an_error),
		cmocka_unit_test(every_ready_batch_is_drained_before_the_end_is_seen),
		cmocka_unit_test(a_lease_keeps_the_mapping_after_reader_and_producer_are_gone),
		cmocka_unit_test(broadcast_views_cannot_be_written),
		cmocka_unit_test(an_overwritten_slot_word_ends_the_ring_for_both_sides),
		cmocka_unit_test(more_rows_than_a_batch_has_are_an_overwritten_ring),
		cmocka_unit_test(who_holds_too_many_learns_so_before_the_end),
		cmocka_unit_test(a_signal_ends_a_wait),
		cmocka_unit_test(signals_are_not_taken_for_the_producers_death),
		cmocka_unit_test(words_that_would_lose_a_slot_in_silence_are_noticed),
		cmocka_unit_test(a_cancelled_claim_returns_at_once_and_for_good),
		cmocka_unit_test(counters_and_last_lines_reach_the_reader),
		cmocka_unit_test(a_long_stream_through_threads_is_whole_and_in_order),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
