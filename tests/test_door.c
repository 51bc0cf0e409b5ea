/*
 * test_door.c - readers are let in by name or inheritance, refused with a sentence, and missed when they leave or die.
 *
 * Long because everything that may stand at a door is tried, each with the same few helpers.
 */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shmring/layout.h"
#include "shmring/wire.h"
#include "tests/ring_fixture.h"

static int shm_entry_count(void)
{
	DIR *folder = opendir("/dev/shm");
	struct dirent *entry;
	int count = 0;

	assert_non_null(folder);
	while ((entry = readdir(folder)) != NULL)
		count += strncmp(entry->d_name, "cropring", 8) == 0;
	closedir(folder);
	return count;
}

/* Handles what happens at the door until `wanted` does. */
static int32_t await(struct shmring_producer *producer, enum shmring_event wanted)
{
	struct shmring_visitor visitor;

	for (int attempts = 0; attempts < 20000; attempts++) {
		if (shmring_door_step(producer, &visitor) == wanted)
			return visitor.pid;
		usleep(1000);
	}
	fail_msg("event %d did not come", wanted);
	return 0;
}

/* A child that joins ring `name`, says so with a byte on `told_fd`, and then leaves, or waits to be killed. */
static pid_t start_reader(const char *name, int told_fd, bool leave)
{
	pid_t child = fork();

	if (child == 0) {
		struct shmring_reader *reader;
		int rc = shmring_attach(&reader, name, NULL, NULL);
		char verdict = rc == 0 ? 'y' : 'n';

		if (write(told_fd, &verdict, 1) != 1)
			_exit(3);
		if (rc == 0 && leave)
			shmring_detach(reader);
		else if (rc == 0)
			pause();
		_exit(0);
	}
	return child;
}

static void nothing_of_a_ring_has_a_name_in_the_file_system(void **state)
{
	struct shmring_producer *producer = ring_create("nameless", SHMRING_SEGMENT_SHM, SHMRING_SPLIT);

	(void)state;
	for (int attempts = 0; shm_entry_count() > 0; attempts++) { /* another worker may be about to unlink its own */
		assert_true(attempts < 1000);
		usleep(1000);
	}
	assert_string_equal(shmring_segment_name(producer), "shm");
	shmring_destroy(producer);
}

static void a_reader_that_leaves_and_one_that_dies_are_told_apart(void **state)
{
	const char *name = ring_name("door-test");
	struct shmring_producer *producer = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	int told[2];
	char verdict;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(told), 0);
	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
	child = start_reader(name, told[1], true);
	assert_int_equal(await(producer, SHMRING_JOINED), child);
	assert_int_equal(await(producer, SHMRING_LEFT), child);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(read(told[0], &verdict, 1), 1);
	assert_int_equal(verdict, 'y');

	child = start_reader(name, told[1], false);
	await(producer, SHMRING_JOINED);
	assert_int_equal(read(told[0], &verdict, 1), 1);
	kill(child, SIGKILL);
	assert_int_equal(await(producer, SHMRING_DIED), child);
	assert_int_equal(waitpid(child, NULL, 0), child);
	shmring_destroy(producer);
	close(told[0]);
	close(told[1]);
}

struct attempt {
	const char *name;
	int rc;
	_Atomic bool done;
	struct err err;
};

static void *try_to_attach(void *argument)
{
	struct attempt *attempt = argument;
	struct shmring_reader *reader;

	attempt->rc = shmring_attach(&reader, attempt->name, NULL, &attempt->err);
	if (attempt->rc == 0)
		shmring_detach(reader);
	atomic_store(&attempt->done, true);
	return NULL;
}

static void attach_while_stepping(struct shmring_producer *producer, struct attempt *attempt)
{
	pthread_t thread;
	struct shmring_visitor visitor;

	assert_int_equal(pthread_create(&thread, NULL, try_to_attach, attempt), 0);
	while (!atomic_load(&attempt->done)) {
		(void)shmring_door_step(producer, &visitor);
		usleep(1000);
	}
	pthread_join(thread, NULL);
}

static void a_second_reader_is_refused_with_the_first_ones_process(void **state)
{
	const char *name = ring_name("taken");
	struct shmring_producer *producer = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct attempt attempt = {.name = name};
	char own_pid[16];

	(void)state;
	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
	attach_while_stepping(producer, &attempt);
	assert_int_equal(attempt.rc, -EBUSY);
	snprintf(own_pid, sizeof own_pid, "%d", getpid());
	assert_non_null(strstr(attempt.err.text, own_pid));
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void a_missing_ring_is_named(void **state)
{
	struct shmring_reader *reader;
	struct err err;

	(void)state;
	assert_int_equal(shmring_attach(&reader, "no-such-ring", NULL, &err), -ENOENT);
	assert_non_null(strstr(err.text, "no-such-ring"));
	assert_non_null(strstr(err.text, "cropring list"));
}

static void a_name_can_be_taken_only_once(void **state)
{
	const char *name = ring_name("twice");
	struct shmring_producer *first = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_producer *second = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct err err;

	(void)state;
	assert_int_equal(shmring_door_open(first, NULL, NULL), 0);
	assert_int_equal(shmring_door_open(second, NULL, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, name));
	shmring_destroy(first);
	assert_int_equal(shmring_door_open(second, NULL, &err), 0);
	shmring_destroy(second);
}

static void a_socket_path_serves_and_vanishes_and_a_stale_one_is_replaced(void **state)
{
	const char *name = ring_name("by-path");
	struct shmring_producer *producer = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_producer *heir;
	char path[] = "/tmp/cropring-test-XXXXXX";
	char socket_path[64];
	struct attempt attempt = {.name = socket_path};
	struct stat status;
	pid_t child;

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(socket_path, sizeof socket_path, "%s/ring", path);
	assert_int_equal(shmring_door_open(producer, socket_path, NULL), 0);
	attach_while_stepping(producer, &attempt);
	assert_int_equal(attempt.rc, 0);
	shmring_destroy(producer);
	assert_int_equal(stat(socket_path, &status), -1);

	child = fork(); /* a producer that is killed leaves its socket file */
	if (child == 0) {
		producer = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
		_exit(shmring_door_open(producer, socket_path, NULL) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(stat(socket_path, &status), 0);
	heir = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	assert_int_equal(shmring_door_open(heir, socket_path, NULL), 0);
	shmring_destroy(heir);
	rmdir(path);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
	const char *name = ring_name("by-file");
	struct shmring_producer *producer = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	char path[] = "/tmp/cropring-test-XXXXXX";
	struct stat status;
	struct err err;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "precious", 8), 8);
	assert_int_equal(shmring_door_open(producer, path, &err), -EEXIST);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 8);
	shmring_destroy(producer);
	assert_int_equal(stat(path, &status), 0);
	unlink(path);
	close(fd);
}

static void a_socket_file_of_somebody_else_stays(void **state)
{
	struct shmring_producer *first = ring_create(ring_name("first"), SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_producer *second = ring_create(ring_name("second"), SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	char folder[] = "/tmp/cropring-test-XXXXXX";
	char path[64];
	struct stat status;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/ring", folder);
	assert_int_equal(shmring_door_open(first, path, NULL), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(shmring_door_open(second, path, NULL), 0);
	shmring_destroy(first);
	assert_int_equal(stat(path, &status), 0);
	shmring_door_shut(second);
	assert_int_equal(stat(path, &status), -1);
	shmring_destroy(second);
	rmdir(folder);
}

/* More descriptors than any message has are closed, not kept. */
static void surplus_descriptors_are_not_kept(void **state)
{
	int before, sockets[2], fds[5] = {0, 0, 0, 0, 0}, received[WIRE_MAX_FDS];
	struct wire_hello hello = {.magic = WIRE_MAGIC};
	union {
		char bytes[CMSG_SPACE(sizeof fds)];
		struct cmsghdr align;
	} space = {0};
	struct iovec part = {.iov_base = &hello, .iov_len = sizeof hello};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space.bytes};

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	before = open_fd_count();
	for (size_t count = 1; count <= 5; count++) {
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		space.align.cmsg_level = SOL_SOCKET;
		space.align.cmsg_type = SCM_RIGHTS;
		space.align.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&space.align), fds, count * sizeof(int));
		assert_int_equal(sendmsg(sockets[0], &message, 0), sizeof hello);
		assert_int_equal(wire_receive(sockets[1], &hello, sizeof hello, received), count <= WIRE_MAX_FDS ? 0 : -EPROTO);
		wire_close_fds(received);
		assert_int_equal(open_fd_count(), before);
	}
	close(sockets[0]);
	close(sockets[1]);
}

static void a_parent_that_closes_before_it_speaks_counts_as_dead(void **state)
{
	struct shmring_producer *producer = ring_create("orphan", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	int sockets[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(shmring_door_adopt(producer, sockets[0], NULL), 0);
	close(sockets[1]);
	await(producer, SHMRING_DIED);
	shmring_destroy(producer);
}

static void a_parent_that_is_killed_before_it_is_let_in_counts_as_dead(void **state)
{
	struct shmring_producer *producer = ring_create("orphaned", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct pollfd hello = {.events = POLLIN};
	struct shmring_visitor visitor = {0};
	struct shmring_reader *reader;
	int sockets[2];
	pid_t parent;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	parent = fork();
	if (parent == 0) {
		close(sockets[0]);
		_exit(shmring_attach_fd(&reader, sockets[1], NULL, NULL) == 0 ? 0 : 1);
	}
	close(sockets[1]);
	hello.fd = sockets[0];
	assert_int_equal(poll(&hello, 1, 20000), 1);
	kill(parent, SIGKILL);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	assert_int_equal(shmring_door_adopt(producer, sockets[0], NULL), 0);
	for (int attempts = 0; shmring_door_step(producer, &visitor) != SHMRING_DIED; attempts++) {
		assert_true(attempts < 20000);
		usleep(1000);
	}
	assert_true(visitor.is_owner);
	assert_int_equal(shmring_reader_count(producer), 0);
	shmring_destroy(producer);
}

static void a_refusal_reaches_the_reader_to_be(void **state)
{
	struct ring_join join = {.rc = 0};
	int sockets[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	shmring_door_refuse(sockets[0], -ENODATA, "photos: no image in it");
	close(sockets[0]);
	join.socket_fd = sockets[1];
	ring_join_thread(&join);
	assert_int_equal(join.rc, -ENODATA);
	assert_string_equal(join.err.text, "photos: no image in it");
}

/* A ring in a process of its own, which publishes two batches and lives until it is killed. */
static pid_t start_producer(const char *name, int told_fd)
{
	pid_t child = fork();

	if (child == 0) {
		struct shmring_producer *producer = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
		struct shmring_visitor visitor;
		struct shmring_slot slot;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves none behind */
		for (int64_t stamp = 0; stamp < 2 && shmring_claim(producer, 0, &slot) == 0; stamp++) {
			ring_fill(&slot, stamp);
			shmring_commit(producer, &slot, 0, RING_ROWS);
		}
		if (shmring_door_open(producer, NULL, NULL) < 0 || write(told_fd, "y", 1) != 1)
			_exit(1);
		for (;;) {
			(void)shmring_door_step(producer, &visitor);
			usleep(1000);
		}
	}
	return child;
}

static void readers_of_a_killed_producer_drain_and_learn_of_it(void **state)
{
	const char *name = ring_name("killed");
	struct shmring_reader *reader;
	struct shmring_lease lease;
	int told[2];
	char verdict;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(told), 0);
	child = start_producer(name, told[1]);
	assert_int_equal(read(told[0], &verdict, 1), 1);
	assert_int_equal(shmring_attach(&reader, name, NULL, NULL), 0);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	for (int64_t stamp = 0; stamp < 2; stamp++) {
		assert_int_equal(shmring_acquire(reader, 0, &lease), 0);
		assert_true(ring_is_filled_with(reader, &lease, stamp));
		assert_int_equal(shmring_release(reader, &lease), 0);
	}
	assert_int_equal(shmring_acquire(reader, 20000, &lease), -EPIPE);
	shmring_detach(reader);
	close(told[0]);
	close(told[1]);
}

/* The other end of an inherited socket may say anything. */
static void a_welcome_that_cannot_be_is_refused(void **state)
{
	struct wire_welcome no_such_number = {.magic = WIRE_MAGIC, .number = LAYOUT_MAX_READERS},
			    endless = {.magic = WIRE_MAGIC, .result = -EBUSY};
	const struct wire_welcome *welcomes[] = {&no_such_number, &endless};
	const int codes[] = {-EPROTO, -EBUSY};

	(void)state;
	memset(endless.text, 'x', sizeof endless.text);
	for (size_t i = 0; i < 2; i++) {
		struct ring_join join = {.rc = 0, .wish = {.number = SHMRING_ANY_NUMBER}};
		int sockets[2], fds[2] = {0, 0}, before = open_fd_count();

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
		assert_int_equal(wire_send(sockets[0], welcomes[i], sizeof *welcomes[i], fds, 2), 0);
		join.socket_fd = sockets[1];
		ring_join_thread(&join);
		assert_int_equal(join.rc, codes[i]);
		assert_true(i == 0 ? strstr(join.err.text, "no cropring worker") != NULL : strspn(join.err.text, "x") > 100);
		close(sockets[0]);
		assert_int_equal(open_fd_count(), before);
	}
}

static void garbage_at_the_door_is_ignored(void **state)
{
	const char *name = ring_name("garbage");
	struct shmring_producer *producer = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct attempt attempt = {.name = name};
	struct sockaddr_un address;
	socklen_t address_bytes;
	struct shmring_visitor visitor;
	int fd;

	(void)state;
	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
	assert_int_equal(wire_address(name, &address, &address_bytes), 0);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, address_bytes), 0);
	assert_int_equal(send(fd, "let me in!", 10, 0), 10);
	for (int i = 0; i < 20; i++)
		assert_int_equal(shmring_door_step(producer, &visitor), SHMRING_NOTHING);
	close(fd);
	attach_while_stepping(producer, &attempt);
	assert_int_equal(attempt.rc, 0);
	shmring_destroy(producer);
}

/* They connect and say nothing: those who have something to say get in all the same. */
static void silent_callers_do_not_block_the_door(void **state)
{
	const char *name = ring_name("silence");
	struct shmring_producer *producer = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct attempt attempt = {.name = name};
	struct sockaddr_un address;
	struct shmring_visitor visitor;
	socklen_t address_bytes;
	int fds[40];

	(void)state;
	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
	assert_int_equal(wire_address(name, &address, &address_bytes), 0);
	for (int i = 0; i < 40; i++) {
		fds[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&address, address_bytes), 0);
		while (shmring_door_step(producer, &visitor) != SHMRING_NOTHING)
			;
	}
	attach_while_stepping(producer, &attempt);
	assert_int_equal(attempt.rc, 0);
	for (int i = 0; i < 40; i++)
		close(fds[i]);
	shmring_destroy(producer);
}

static void collect_names(const struct shmring_card *card, void *context)
{
	if (strcmp(card->name, ring_name("listed")) == 0) {
		assert_string_equal(card->subject, "a test");
		assert_int_equal(card->slot_count, RING_SLOTS);
		*(int *)context += 1;
	}
}

/* Answers at the door until it is told to stop. */
struct doorman {
	struct shmring_producer *producer;
	_Atomic bool off_duty;
};

static void *stand_at_the_door(void *argument)
{
	struct doorman *doorman = argument;
	struct shmring_visitor visitor;

	while (!atomic_load(&doorman->off_duty)) {
		(void)shmring_door_step(doorman->producer, &visitor);
		usleep(500);
	}
	return NULL;
}

static void a_running_ring_is_listed(void **state)
{
	const char *name = ring_name("listed");
	struct doorman doorman = {.producer = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT)};
	pthread_t thread;
	int found = 0;

	(void)state;
	assert_int_equal(shmring_door_open(doorman.producer, NULL, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, stand_at_the_door, &doorman), 0);
	assert_true(shmring_list(collect_names, &found) >= 1);
	atomic_store(&doorman.off_duty, true);
	pthread_join(thread, NULL);
	assert_int_equal(found, 1);
	shmring_destroy(doorman.producer);
}

static void note_silence(const struct shmring_card *card, void *context)
{
	if (strcmp(card->name, ring_name("silent")) == 0 && card->slot_count == 0 && card->pid == getpid())
		*(int *)context += 1;
}

static void a_ring_that_does_not_answer_is_listed_as_such(void **state)
{
	const char *name = ring_name("silent");
	struct shmring_producer *producer = ring_create(name, SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	int silent = 0;

	(void)state;
	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0); /* and nobody stands at the door */
	assert_true(shmring_list(note_silence, &silent) >= 1);
	assert_int_equal(silent, 1);
	shmring_destroy(producer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_of_a_ring_has_a_name_in_the_file_system),
		cmocka_unit_test(a_reader_that_leaves_and_one_that_dies_are_told_apart),
		cmocka_unit_test(a_second_reader_is_refused_with_the_first_ones_process),
		cmocka_unit_test(a_missing_ring_is_named),
		cmocka_unit_test(a_name_can_be_taken_only_once),
		cmocka_unit_test(a_socket_path_serves_and_vanishes_and_a_stale_one_is_replaced),
		cmocka_unit_test(a_file_that_is_no_socket_is_left_alone),
		cmocka_unit_test(a_socket_file_of_somebody_else_stays),
		cmocka_unit_test(surplus_descriptors_are_not_kept),
		cmocka_unit_test(a_parent_that_closes_before_it_speaks_counts_as_dead),
		cmocka_unit_test(a_parent_that_is_killed_before_it_is_let_in_counts_as_dead),
		cmocka_unit_test(a_refusal_reaches_the_reader_to_be),
		cmocka_unit_test(readers_of_a_killed_producer_drain_and_learn_of_it),
		cmocka_unit_test(a_welcome_that_cannot_be_is_refused),
		cmocka_unit_test(garbage_at_the_door_is_ignored),
		cmocka_unit_test(silent_callers_do_not_block_the_door),
		cmocka_unit_test(a_running_ring_is_listed),
		cmocka_unit_test(a_ring_that_does_not_answer_is_listed_as_such),
	};

	return cmocka_run_group_tests_name("door", tests, NULL, NULL);
}
