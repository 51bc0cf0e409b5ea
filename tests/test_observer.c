/* test_observer.c - somebody who looks on sees everything, changes nothing, counts for nothing, and is not missed. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/clock.h"
#include "shmring/entry.h"
#include "shmring/look.h"
#include "shmring/producer.h"
#include "shmring/segment.h"
#include "tests/audience_fixture.h"

/* ------------------------------------------------------------------ looking, while the door must answer */

struct observing {
	const char *name;
	struct shmring_observer *observer;
	struct err err;
	int rc;
};

static void *observe_in_thread(void *argument)
{
	struct observing *observing = argument;

	observing->rc = shmring_observe(&observing->observer, observing->name, &observing->err);
	return NULL;
}

/* And nothing happens at the door. */
static struct shmring_observer *observe(struct shmring_producer *producer, const char *name)
{
	struct observing observing = {.name = name};
	struct shmring_visitor visitor;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, observe_in_thread, &observing), 0);
	while (pthread_tryjoin_np(thread, NULL) != 0) {
		assert_int_equal(shmring_door_step(producer, &visitor), SHMRING_NOTHING);
		usleep(100);
	}
	if (observing.rc < 0)
		fail_msg("%s", observing.err.text);
	return observing.observer;
}

static struct shmring_snapshot look_now(const struct shmring_observer *observer)
{
	struct shmring_snapshot snapshot;

	assert_int_equal(shmring_look(observer, &snapshot), 0);
	return snapshot;
}

static struct shmring_producer *create_with_door(const char *name, const struct ring_plan *plan)
{
	struct shmring_producer *producer = ring_create_as(name, plan);

	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
	return producer;
}

static void assert_slot(const struct shmring_snapshot *snapshot, uint32_t index, enum shmring_slot_state state, uint32_t sequence,
                        uint32_t reader_mask)
{
	assert_int_equal(snapshot->slot[index].state, state);
	assert_int_equal(snapshot->slot[index].sequence, sequence);
	assert_int_equal(snapshot->slot[index].reader_mask, reader_mask);
}

/* ------------------------------------------------------------------ what is seen */

static void an_observer_sees_slots_readers_and_counters(void **state)
{
	const char *name = ring_name("seen");
	struct shmring_producer *producer = create_with_door(name, &(struct ring_plan){.slots = 4, .readers = 2});
	struct shmring_reader *reader = join(producer, 1, 1);
	struct shmring_observer *observer = observe(producer, name);
	struct shmring_snapshot seen = look_now(observer), own;
	struct shmring_lease lease;
	struct shmring_slot slot;

	(void)state;
	assert_string_equal(shmring_observed_name(observer), name);
	assert_string_equal(shmring_observed_subject(observer), "a test");
	assert_int_equal(shmring_observed_pid(observer), getpid());
	assert_int_equal(shmring_observed_counter_count(observer), RING_COUNTERS);
	assert_string_equal(shmring_observed_counter_name(observer, 1), "pears");
	assert_true(shmring_observed_is_alive(observer));
	assert_int_equal(seen.slot_count, 4);
	assert_int_equal(seen.reader_limit, 2);
	assert_false(seen.reader[0].is_there);
	assert_int_equal(seen.reader[0].pid, 0);
	assert_true(seen.reader[1].is_there);
	assert_int_equal(seen.reader[1].pid, getpid());

	publish(producer, 0);
	publish(producer, 1);
	assert_int_equal(shmring_claim(producer, 0, &slot), 0);
	shmring_counter_add(producer, 1, 12);
	expect(reader, &lease, 0, false);
	seen = look_now(observer);
	assert_slot(&seen, 0, SHMRING_SLOT_HELD, 0, 2);
	assert_slot(&seen, 1, SHMRING_SLOT_READY, 1, 0);
	assert_slot(&seen, 2, SHMRING_SLOT_FILLING, 2, 0);
	assert_int_equal(seen.slot[3].state, SHMRING_SLOT_FREE);
	assert_int_equal(seen.reader[1].held, 1);
	assert_int_equal(seen.reader[1].ready, 1);
	assert_int_equal(seen.reader[1].taken, 1);
	assert_int_equal(seen.counter[1], 12);
	assert_false(seen.ended);
	assert_true(seen.time_ns <= clock_now_ns() && seen.reader[1].times.present_ns > 0);
	shmring_look_at_own(producer, &own);
	assert_slot(&own, 0, SHMRING_SLOT_HELD, 0, 2);
	assert_int_equal(own.counter[1], 12);

	assert_int_equal(shmring_release(reader, &lease), 0);
	shmring_finish(producer, SHMRING_COMPLETE, NULL);
	seen = look_now(observer);
	assert_slot(&seen, 0, SHMRING_SLOT_FREE, 0, 0);
	assert_true(seen.ended);
	shmring_detach(reader);
	shmring_destroy(producer);
	assert_true(look_now(observer).ended); /* the memory is there as long as somebody looks at it */
	shmring_unobserve(observer);
}

static void in_broadcast_a_slot_is_held_by_those_who_have_it(void **state)
{
	const char *name = ring_name("wide");
	struct shmring_producer *producer =
		create_with_door(name, &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 4, .readers = 2});
	struct shmring_reader *reader[2] = {join(producer, 1, 0), join(producer, 1, 1)};
	struct shmring_observer *observer = observe(producer, name);
	struct shmring_snapshot seen;
	struct shmring_lease lease;

	(void)state;
	publish_range(producer, 0, 1);
	seen = look_now(observer);
	assert_slot(&seen, 0, SHMRING_SLOT_READY, 0, 3);
	assert_int_equal(seen.reader[0].ready, 2);
	expect(reader[1], &lease, 0, false);
	seen = look_now(observer);
	assert_slot(&seen, 0, SHMRING_SLOT_HELD, 0, 2);
	assert_slot(&seen, 1, SHMRING_SLOT_READY, 1, 3);
	assert_int_equal(seen.reader[0].ready, 2);
	assert_int_equal(seen.reader[1].ready, 1);
	assert_int_equal(seen.reader[1].held, 1);
	assert_int_equal(shmring_release(reader[1], &lease), 0);
	seen = look_now(observer);
	assert_slot(&seen, 0, SHMRING_SLOT_READY, 0, 1);
	assert_int_equal(seen.reader[1].held, 0);
	shmring_detach(reader[0]);
	shmring_detach(reader[1]);
	shmring_destroy(producer);
	shmring_unobserve(observer);
}

static void in_lanes_a_batch_is_ready_for_its_reader_alone(void **state)
{
	const char *name = ring_name("lane");
	struct shmring_producer *producer =
		create_with_door(name, &(struct ring_plan){.share = SHMRING_LANES, .slots = 4, .readers = 2});
	struct shmring_observer *observer = observe(producer, name);
	struct shmring_snapshot seen;

	(void)state;
	publish_range(producer, 0, 2);
	seen = look_now(observer);
	assert_slot(&seen, 1, SHMRING_SLOT_READY, 1, 2);
	assert_int_equal(seen.reader[0].ready, 2);
	assert_int_equal(seen.reader[1].ready, 1);
	shmring_destroy(producer);
	shmring_unobserve(observer);
}

static void *wait_for_nothing(void *reader)
{
	struct shmring_lease lease;

	(void)shmring_acquire(reader, 500, &lease);
	return NULL;
}

static void a_reader_that_waits_is_seen_to_wait(void **state)
{
	const char *name = ring_name("wait");
	struct shmring_producer *producer = create_with_door(name, &(struct ring_plan){.readers = 1});
	struct shmring_reader *reader = join(producer, 1, 0);
	struct shmring_observer *observer = observe(producer, name);
	pthread_t thread;

	(void)state;
	assert_false(look_now(observer).reader[0].waiting);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_nothing, reader), 0);
	while (!look_now(observer).reader[0].waiting)
		usleep(1000);
	while (look_now(observer).reader[0].times.wait_ns == 0) /* which grows before the wait is over */
		usleep(1000);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(look_now(observer).reader[0].waiting);
	shmring_detach(reader);
	shmring_destroy(producer);
	shmring_unobserve(observer);
}

static void a_ring_can_be_seen_at_its_socket_file_too(void **state)
{
	char folder[] = "/tmp/observer-XXXXXX", path[64];
	struct shmring_producer *producer = ring_create_as(ring_name("file"), &(struct ring_plan){.readers = 1});
	struct shmring_observer *observer;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/door", folder);
	assert_int_equal(shmring_door_open(producer, path, NULL), 0);
	observer = observe(producer, path);
	assert_int_equal(look_now(observer).slot_count, RING_SLOTS);
	shmring_unobserve(observer);
	shmring_destroy(producer);
	rmdir(folder);
}

/* ------------------------------------------------------------------ what is not */

static void an_observer_is_no_reader_and_takes_no_place(void **state)
{
	const char *name = ring_name("none");
	struct shmring_producer *producer = create_with_door(name, &(struct ring_plan){.readers = 1});
	struct shmring_observer *before = observe(producer, name), *after;
	struct shmring_reader *reader = join(producer, 2, 0); /* all that there is to have */
	struct shmring_visitor visitor;
	int fd_count;

	(void)state;
	fd_count = open_fd_count();
	after = observe(producer, name);
	assert_int_equal(shmring_reader_count(producer), 1);
	for (int64_t stamp = 0; stamp < 2 * RING_SLOTS; stamp++) {
		publish(producer, stamp);
		take(reader, stamp);
	}
	shmring_unobserve(after);
	shmring_unobserve(before);
	assert_int_equal(shmring_door_step(producer, &visitor), SHMRING_NOTHING); /* nobody came, nobody left */
	assert_int_equal(open_fd_count(), fd_count - 1);                          /* the pidfd of `before` */
	shmring_detach(reader);
	shmring_destroy(producer);
}

/* The address of our mapping of the segment's first pages that cannot be written. */
static void *find_view(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long begin, end, found = 0;
	char line[512], rights[8];

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		if (sscanf(line, "%lx-%lx %7s", &begin, &end, rights) == 3 && end - begin == LAYOUT_SLOTS_OFFSET &&
		    strcmp(rights, "r--s") == 0)
			found = begin;
	}
	fclose(maps);
	return (void *)found;
}

static void what_an_observer_has_can_never_be_written(void **state)
{
	static const enum shmring_segment segments[] = {SHMRING_SEGMENT_SHM, SHMRING_SEGMENT_MEMFD};

	(void)state;
	for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++) {
		const char *name = ring_name("glass");
		struct shmring_producer *producer = create_with_door(name, &(struct ring_plan){.segment = segments[i]});
		struct shmring_observer *observer = observe(producer, name);
		void *view = find_view();

		assert_non_null(view);
		assert_int_equal(mprotect(view, LAYOUT_SLOTS_OFFSET, PROT_READ | PROT_WRITE), -1);
		assert_int_equal(errno, EACCES);
		shmring_unobserve(observer);
		assert_null(find_view());
		shmring_destroy(producer);
	}
}

static void a_fork_may_not_look_and_its_end_takes_nothing_away(void **state)
{
	const char *name = ring_name("fork");
	struct shmring_producer *producer = create_with_door(name, &(struct ring_plan){.readers = 1});
	struct shmring_observer *observer = observe(producer, name);
	struct shmring_snapshot snapshot;
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		int rc = shmring_look(observer, &snapshot);

		shmring_unobserve(observer);
		_exit(rc == -ECHILD ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(look_now(observer).time_ns > 0);
	shmring_unobserve(observer);
	shmring_destroy(producer);
}

/* ------------------------------------------------------------------ the end of a producer */

static void a_killed_producer_is_seen_to_be_dead_and_its_last_state_stays(void **state)
{
	const char *name = ring_name("kill");
	struct shmring_observer *observer;
	struct shmring_snapshot seen;
	struct err err = {.text = ""};
	int rc;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		struct shmring_producer *producer;
		struct shmring_visitor visitor;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		producer = create_with_door(name, &(struct ring_plan){.readers = 1});
		publish(producer, 0);
		for (;;) {
			(void)shmring_door_step(producer, &visitor);
			usleep(1000);
		}
	}
	do {
		usleep(1000);
		rc = shmring_observe(&observer, name, &err);
	} while (rc == -ENOENT);
	if (rc < 0)
		fail_msg("%s", err.text);
	assert_true(shmring_observed_is_alive(observer));
	while (look_now(observer).slot[0].state != SHMRING_SLOT_READY)
		usleep(1000);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_false(shmring_observed_is_alive(observer));
	seen = look_now(observer);
	assert_slot(&seen, 0, SHMRING_SLOT_READY, 0, 0);
	assert_false(seen.ended); /* it had no time to say so */
	shmring_unobserve(observer);
	assert_int_equal(shmring_observe(&observer, name, &err), -ENOENT);
}

static void a_worker_that_does_not_answer_is_not_waited_for_without_end(void **state)
{
	struct wire_welcome welcome;
	int sockets[2], fds[WIRE_MAX_FDS];
	struct err err = {.text = ""};

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(entry_await(sockets[0], 20, &welcome, fds, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "stopped"));
	close(sockets[0]);
	close(sockets[1]);
}

/* ------------------------------------------------------------------ others who are not what they should be */

/* A worker that hands out a segment of its own making. */
struct liar {
	int listen_fd, segment_fd;
};

static void *lie(void *argument)
{
	const struct liar *liar = argument;
	struct wire_welcome welcome = {.magic = WIRE_MAGIC};
	struct wire_hello hello;
	int fds[WIRE_MAX_FDS], answer[] = {liar->segment_fd, (int)syscall(SYS_pidfd_open, getpid(), 0)};
	int fd = accept(liar->listen_fd, NULL, NULL);

	memset(welcome.subject, 'x', sizeof welcome.subject);
	if (wire_receive(fd, &hello, sizeof hello, fds) == 0)
		(void)wire_send(fd, &welcome, sizeof welcome, answer, 2);
	close(answer[1]);
	close(fd);
	return NULL;
}

static int observe_liar(const struct layout_header *header, uint64_t segment_bytes, struct shmring_observer **observer)
{
	const char *name = ring_name("liar");
	struct liar liar;
	struct sockaddr_un address;
	socklen_t address_bytes;
	enum shmring_segment used;
	pthread_t thread;
	struct err err = {.text = ""};
	int rc;

	assert_int_equal(segment_create(SHMRING_SEGMENT_MEMFD, segment_bytes, &liar.segment_fd, &used, NULL), 0);
	assert_int_equal(pwrite(liar.segment_fd, header, sizeof *header, 0), sizeof *header);
	liar.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(wire_address(name, &address, &address_bytes), 0);
	assert_int_equal(bind(liar.listen_fd, (struct sockaddr *)&address, address_bytes), 0);
	assert_int_equal(listen(liar.listen_fd, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, lie, &liar), 0);
	rc = shmring_observe(observer, name, &err);
	assert_int_equal(pthread_join(thread, NULL), 0);
	close(liar.listen_fd);
	close(liar.segment_fd);
	if (rc < 0)
		assert_true(strlen(err.text) > 10);
	return rc;
}

static void a_segment_that_lies_is_refused(void **state)
{
	struct shmring_producer *honest = ring_create("honest", SHMRING_SEGMENT_MEMFD, SHMRING_SPLIT);
	struct layout_header header = *honest->map.header, bad;
	uint64_t byte_count = honest->segment_bytes;
	struct shmring_observer *observer;
	int fd_count = open_fd_count();

	(void)state;
	bad = header, bad.slot_count = 64;
	assert_int_equal(observe_liar(&bad, byte_count, &observer), -EPROTO);
	bad = header, bad.counter_count = 1000;
	assert_int_equal(observe_liar(&bad, byte_count, &observer), -EPROTO);
	bad = header, bad.reader_limit = 1000;
	assert_int_equal(observe_liar(&bad, byte_count, &observer), -EPROTO);
	bad = header, bad.fingerprint++;
	assert_int_equal(observe_liar(&bad, byte_count, &observer), -EPROTO);
	assert_int_equal(observe_liar(&header, byte_count - LAYOUT_PAGE_BYTES, &observer), -EPROTO);
	assert_int_equal(observe_liar(&header, LAYOUT_PAGE_BYTES, &observer), -EPROTO);
	assert_int_equal(observe_liar(&header, byte_count, &observer), 0);
	assert_int_equal(strlen(shmring_observed_subject(observer)), 255);
	shmring_unobserve(observer);
	assert_int_equal(open_fd_count(), fd_count);
	shmring_destroy(honest);
}

/* Whatever readers and workers write into the segment later: numbers for people, none of which leads anywhere. */
static void any_bytes_in_the_segment_can_be_looked_at(void **state)
{
	_Alignas(LAYOUT_PAGE_BYTES) static uint8_t segment[LAYOUT_SLOTS_OFFSET];
	struct layout_header header = {
		.slot_count = SHMRING_MAX_SLOTS, .reader_limit = LAYOUT_MAX_READERS, .counter_count = SHMRING_MAX_COUNTERS};
	const struct layout_map map = layout_map(segment);
	uint32_t random = 1;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct shmring_snapshot snapshot;

		for (size_t i = 0; i < sizeof segment; i++) {
			random = random * 1664525u + 1013904223u;
			segment[i] = (uint8_t)(random >> (round % 3 == 0 ? 29 : 24)); /* small values are states more often */
		}
		header.share = (uint32_t)round % 3;
		look(&map, &header, &snapshot);
		for (uint32_t i = 0; i < SHMRING_MAX_SLOTS; i++)
			assert_true(snapshot.slot[i].state <= SHMRING_SLOT_HELD);
		for (uint32_t i = 0; i < LAYOUT_MAX_READERS; i++)
			assert_true(snapshot.reader[i].held + snapshot.reader[i].ready <= 2 * SHMRING_MAX_SLOTS);
	}
}

static void one_of_another_version_is_told_so(void **state)
{
	const char *name = ring_name("other");
	struct shmring_producer *producer = create_with_door(name, &(struct ring_plan){.readers = 1});
	struct wire_hello hello = {.magic = WIRE_MAGIC, .fingerprint = layout_fingerprint() + 1, .purpose = WIRE_OBSERVE};
	struct shmring_visitor visitor;
	struct wire_welcome welcome;
	int fds[WIRE_MAX_FDS], fd = entry_connect(name, 1000, NULL);
	struct err err = {.text = ""};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(wire_send(fd, &hello, sizeof hello, NULL, 0), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(shmring_door_step(producer, &visitor), SHMRING_NOTHING);
	assert_int_equal(entry_await(fd, 10000, &welcome, fds, &err), -EPROTO);
	assert_non_null(strstr(err.text, "version"));
	close(fd);
	shmring_destroy(producer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_observer_sees_slots_readers_and_counters),
		cmocka_unit_test(in_broadcast_a_slot_is_held_by_those_who_have_it),
		cmocka_unit_test(in_lanes_a_batch_is_ready_for_its_reader_alone),
		cmocka_unit_test(a_reader_that_waits_is_seen_to_wait),
		cmocka_unit_test(a_ring_can_be_seen_at_its_socket_file_too),
		cmocka_unit_test(an_observer_is_no_reader_and_takes_no_place),
		cmocka_unit_test(what_an_observer_has_can_never_be_written),
		cmocka_unit_test(a_fork_may_not_look_and_its_end_takes_nothing_away),
		cmocka_unit_test(a_killed_producer_is_seen_to_be_dead_and_its_last_state_stays),
		cmocka_unit_test(a_worker_that_does_not_answer_is_not_waited_for_without_end),
		cmocka_unit_test(a_segment_that_lies_is_refused),
		cmocka_unit_test(any_bytes_in_the_segment_can_be_looked_at),
		cmocka_unit_test(one_of_another_version_is_told_so),
	};

	return cmocka_run_group_tests_name("observer", tests, NULL, NULL);
}
