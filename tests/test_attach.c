/* test_attach.c - whom a reader joins, and whom a worker lets in: what is not as it should be is refused, each with its own words. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "shmring/layout.h"
#include "shmring/producer.h"
#include "shmring/segment.h"
#include "shmring/wire.h"
#include "tests/ring_fixture.h"

/* ------------------------------------------------------------------ readers, and workers that are not what they should be */

/* The answer of a worker, before a test spoils something about it. */
struct answer {
	struct layout_header header; /* written into the segment */
	struct wire_welcome welcome;
	size_t welcome_bytes;
	int fds[WIRE_MAX_FDS], fd_count;
};

static struct shmring_producer *honest; /* whose header is copied */

static int make_honest(void **state)
{
	(void)state;
	honest = ring_create("honest", SHMRING_SEGMENT_MEMFD, SHMRING_SPLIT);
	return 0;
}

static int drop_honest(void **state)
{
	(void)state;
	shmring_destroy(honest);
	return 0;
}

static int memfd_of(uint64_t byte_count)
{
	enum shmring_segment used;
	int fd;

	assert_int_equal(segment_create(SHMRING_SEGMENT_MEMFD, byte_count, &fd, &used, NULL), 0);
	return fd;
}

static struct answer good_answer(void)
{
	struct answer answer = {.welcome = {.magic = WIRE_MAGIC, .hold = 1}, .welcome_bytes = sizeof answer.welcome, .fd_count = 2};

	answer.header = *honest->map.header;
	answer.fds[WIRE_FD_SEGMENT] = memfd_of(honest->segment_bytes);
	answer.fds[WIRE_FD_PIDFD] = (int)syscall(SYS_pidfd_open, getpid(), 0);
	assert_true(answer.fds[WIRE_FD_PIDFD] >= 0);
	return answer;
}

static void replace_segment(struct answer *answer, int fd)
{
	assert_true(fd >= 0);
	close(answer->fds[WIRE_FD_SEGMENT]);
	answer->fds[WIRE_FD_SEGMENT] = fd;
}

static int unsealed_segment(void)
{
	int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(ftruncate(fd, (off_t)honest->segment_bytes), 0);
	return fd;
}

static void other_layout(struct answer *answer)
{
	answer->header.fingerprint++;
}

static void no_ring(struct answer *answer)
{
	answer->header.magic[0] ^= 1;
}

static void more_slots_than_memory(struct answer *answer)
{
	answer->header.slot_count++;
	answer->header.segment_bytes += answer->header.slot_stride_bytes;
}

static void a_table_that_does_not_add_up(struct answer *answer)
{
	answer->header.field[1].offset_bytes += 256;
}

static void more_fields_than_there_can_be(struct answer *answer)
{
	answer->header.field_count = SHMRING_MAX_FIELDS + 1;
}

static void a_size_that_overflows(struct answer *answer)
{
	for (int i = 0; i < SHMRING_MAX_DIMS; i++)
		answer->header.field[0].shape[i] = UINT32_MAX;
	answer->header.field[0].dim_count = SHMRING_MAX_DIMS;
}

static void names_without_end(struct answer *answer)
{
	memset(answer->header.counter_name[0], 'x', sizeof answer->header.counter_name[0]);
}

static void truncated_memory(struct answer *answer)
{
	replace_segment(answer, memfd_of(honest->segment_bytes - LAYOUT_PAGE_BYTES));
}

static void hardly_any_memory(struct answer *answer)
{
	replace_segment(answer, memfd_of(LAYOUT_PAGE_BYTES));
}

static void unsealed_memory(struct answer *answer)
{
	replace_segment(answer, unsealed_segment());
}

static void memory_for_all_users(struct answer *answer)
{
	assert_int_equal(fchmod(answer->fds[WIRE_FD_SEGMENT], 0666), 0);
}

static void memory_of_another_user(struct answer *answer)
{
	assert_int_equal(fchown(answer->fds[WIRE_FD_SEGMENT], 12345, (gid_t)-1), 0);
}

/* The name goes when the process does: it is one in /proc. */
static void memory_with_a_name(struct answer *answer)
{
	replace_segment(answer, open("/proc/self/environ", O_RDONLY | O_CLOEXEC));
}

static void no_memory(struct answer *answer)
{
	replace_segment(answer, open("/dev/null", O_RDWR | O_CLOEXEC));
}

static void memory_that_cannot_be_written(struct answer *answer)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", answer->fds[WIRE_FD_SEGMENT]);
	replace_segment(answer, open(path, O_RDONLY | O_CLOEXEC));
}

static void no_pidfd(struct answer *answer)
{
	close(answer->fds[WIRE_FD_PIDFD]);
	answer->fd_count = 1;
}

static void something_else_than_a_pidfd(struct answer *answer)
{
	close(answer->fds[WIRE_FD_PIDFD]);
	answer->fds[WIRE_FD_PIDFD] = dup(answer->fds[WIRE_FD_SEGMENT]);
}

static void other_magic(struct answer *answer)
{
	answer->welcome.magic++;
}

static void half_a_welcome(struct answer *answer)
{
	answer->welcome_bytes /= 2;
}

static void a_number_beyond_all_readers(struct answer *answer)
{
	answer->welcome.number = SHMRING_MAX_READERS;
}

static const struct {
	void (*spoil)(struct answer *answer);
	int rc;
	const char *words;
} spoilt[] = {
	{other_layout, -EPROTO, "another version of cropring (layout "},
	{no_ring, -EPROTO, "it is no ring"},
	{more_slots_than_memory, -EPROTO, "its header says"},
	{a_table_that_does_not_add_up, -EPROTO, "does not add up"},
	{a_size_that_overflows, -EPROTO, "does not add up"},
	{more_fields_than_there_can_be, -EPROTO, "impossible numbers"},
	{names_without_end, -EPROTO, "counter names do not end"},
	{truncated_memory, -EPROTO, "its header says"},
	{hardly_any_memory, -EPROTO, "has only 4096 bytes"},
	{unsealed_memory, -EPROTO, "can still shrink"},
	{memory_for_all_users, -EPROTO, "mode 0666"},
	{memory_of_another_user, -EPROTO, "belongs to user 12345"},
	{memory_with_a_name, -EPROTO, "has a name"},
	{no_memory, -EPROTO, "is no memory"},
	{memory_that_cannot_be_written, -EACCES, "cannot map"},
	{no_pidfd, -EPROTO, "no cropring worker"},
	{something_else_than_a_pidfd, -EPROTO, "no cropring worker"},
	{other_magic, -EPROTO, "no cropring worker"},
	{a_number_beyond_all_readers, -EPROTO, "no cropring worker"},
	{half_a_welcome, -EPROTO, "cannot be read"},
};

/* Takes a reader's hello and gives it this answer. */
static void answer_once(int socket_fd, const struct answer *answer)
{
	int hello_fds[WIRE_MAX_FDS], fds[WIRE_MAX_FDS];
	struct wire_hello hello;

	assert_int_equal(wire_receive(socket_fd, &hello, sizeof hello, hello_fds), 0);
	assert_int_equal(hello.fingerprint, layout_fingerprint());
	wire_close_fds(hello_fds);
	/* Not every one of these descriptors can be written to. */
	(void)!pwrite(answer->fds[WIRE_FD_SEGMENT], &answer->header, sizeof answer->header, 0);
	memcpy(fds, answer->fds, sizeof fds);
	assert_int_equal(wire_send(socket_fd, &answer->welcome, answer->welcome_bytes, fds, answer->fd_count), 0);
	for (int i = 0; i < answer->fd_count; i++)
		close(fds[i]);
}

/* The reader's verdict on this answer; a reader that was let in leaves. */
static void join_with(const struct answer *answer, struct ring_join *join)
{
	pthread_t thread;
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	*join = (struct ring_join){.socket_fd = sockets[1], .wish = {.number = SHMRING_ANY_NUMBER}};
	assert_int_equal(pthread_create(&thread, NULL, ring_join_thread, join), 0);
	answer_once(sockets[0], answer);
	pthread_join(thread, NULL);
	if (join->rc == 0)
		shmring_detach(join->reader);
	close(sockets[0]);
}

static void an_unspoilt_answer_is_accepted(void **state)
{
	struct answer answer = good_answer();
	struct ring_join join;

	(void)state;
	join_with(&answer, &join);
	if (join.rc < 0)
		fail_msg("%s", join.err.text);
}

/* Nothing of what was sent along stays open, either. */
static void whatever_is_wrong_with_an_answer_is_told(void **state)
{
	int fd_count = open_fd_count();

	(void)state;
	for (size_t i = 0; i < sizeof spoilt / sizeof spoilt[0]; i++) {
		struct answer answer;
		struct ring_join join;

		if (spoilt[i].spoil == memory_of_another_user && geteuid() != 0)
			continue; /* only root can give a file away */
		answer = good_answer();
		spoilt[i].spoil(&answer);
		join_with(&answer, &join);
		if (join.rc != spoilt[i].rc || !strstr(join.err.text, spoilt[i].words))
			fail_msg("%d instead of %d, '%s' instead of: %s", join.rc, spoilt[i].rc, join.err.text, spoilt[i].words);
		assert_int_equal(open_fd_count(), fd_count);
	}
}

/* ------------------------------------------------------------------ callers that are not what they should be */

static struct wire_hello good_hello(void)
{
	return (struct wire_hello){.magic = WIRE_MAGIC,
	                           .fingerprint = layout_fingerprint(),
	                           .purpose = WIRE_JOIN,
	                           .wish = {.number = SHMRING_ANY_NUMBER}};
}

/* What the door says to this hello: 0 or what wire_receive() returns; -ENOTCONN when it hangs up without a word. */
static int say(const struct wire_hello *hello, size_t hello_bytes, int fd, struct wire_welcome *welcome)
{
	struct shmring_producer *producer = ring_create("door", SHMRING_SEGMENT_MEMFD, SHMRING_SPLIT);
	struct pollfd answer = {.events = POLLIN};
	int sockets[2], fds[WIRE_MAX_FDS], rc;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(shmring_door_adopt(producer, sockets[0], NULL), 0);
	assert_int_equal(wire_send(sockets[1], hello, hello_bytes, &fd, fd >= 0 ? 1 : 0), 0);
	answer.fd = sockets[1];
	for (int attempts = 0; poll(&answer, 1, 1) == 0; attempts++) {
		struct shmring_visitor visitor;

		(void)shmring_door_step(producer, &visitor);
		assert_true(attempts < 20000);
	}
	rc = wire_receive(sockets[1], welcome, sizeof *welcome, fds);
	wire_close_fds(fds);
	close(sockets[1]);
	shmring_destroy(producer);
	return rc;
}

static void a_good_hello_is_answered(void **state)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct wire_hello hello = good_hello();
	struct wire_welcome welcome;

	(void)state;
	assert_int_equal(say(&hello, sizeof hello, pidfd, &welcome), 0);
	assert_int_equal(welcome.result, 0);
	close(pidfd);
}

static void a_reader_of_another_layout_is_told_both(void **state)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct wire_hello hello = good_hello();
	struct wire_welcome welcome;
	char both[2][16];

	(void)state;
	hello.fingerprint = 0x1234abcd;
	assert_int_equal(say(&hello, sizeof hello, pidfd, &welcome), 0);
	assert_int_equal(welcome.result, -EPROTO);
	snprintf(both[0], sizeof both[0], "%08x", hello.fingerprint);
	snprintf(both[1], sizeof both[1], "%08x", layout_fingerprint());
	assert_non_null(strstr(welcome.text, both[0]));
	assert_non_null(strstr(welcome.text, both[1]));
	close(pidfd);
}

static void a_caller_that_makes_no_sense_gets_no_answer(void **state)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct wire_hello hello = good_hello();
	struct wire_welcome welcome;

	(void)state;
	assert_int_equal(say(&hello, sizeof hello / 2, pidfd, &welcome), -ENOTCONN);
	assert_int_equal(say(&hello, sizeof hello, -1, &welcome), -ENOTCONN);
	hello.purpose = WIRE_LEAVE;
	assert_int_equal(say(&hello, sizeof hello, pidfd, &welcome), -ENOTCONN);
	hello = good_hello();
	hello.magic++;
	assert_int_equal(say(&hello, sizeof hello, pidfd, &welcome), -ENOTCONN);
	close(pidfd);
}

/* Each end of a pipe can be waited on like a pidfd, and tells nothing. */
static void a_reader_must_show_a_pidfd(void **state)
{
	struct wire_hello hello = good_hello();
	struct wire_welcome welcome;
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(say(&hello, sizeof hello, pipes[i], &welcome), 0);
		assert_int_equal(welcome.result, -EPROTO);
		assert_non_null(strstr(welcome.text, "something else than a pidfd"));
		close(pipes[i]);
	}
}

/* As seen from a PID namespace in which that process has no number: a container whose worker is outside. */
static void a_pidfd_is_one_in_any_pid_namespace(void **state)
{
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		pid_t insider;

		if (unshare(CLONE_NEWPID) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0)
			_exit(77);
		insider = fork();
		if (insider == 0)
			_exit(wire_is_pidfd(pidfd) && !wire_is_pidfd(0) && !wire_is_pidfd(-1) ? 0 : 1);
		_exit(waitpid(insider, &status, 0) == insider && WIFEXITED(status) ? WEXITSTATUS(status) : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	close(pidfd);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* no right to make one here */
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void reader_25_is_turned_away(void **state)
{
	const struct ring_plan plan = {.slots = SHMRING_MAX_READERS + 1, .readers = SHMRING_MAX_READERS};
	const struct shmring_wish wish = {.number = SHMRING_ANY_NUMBER};
	struct shmring_producer *producer = ring_create_as("full", &plan);
	struct shmring_reader *readers[SHMRING_MAX_READERS];
	struct err err;

	(void)state;
	for (uint32_t i = 0; i < SHMRING_MAX_READERS; i++) {
		readers[i] = ring_adopt_reader(producer);
		assert_int_equal(shmring_number(readers[i]), i);
	}
	assert_null(ring_try_adopt(producer, &wish, &err));
	assert_non_null(strstr(err.text, "'full' has all its readers, 24"));
	assert_int_equal(shmring_reader_count(producer), SHMRING_MAX_READERS);
	for (uint32_t i = 0; i < SHMRING_MAX_READERS; i++)
		shmring_detach(readers[i]);
	shmring_destroy(producer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_unspoilt_answer_is_accepted, make_honest, drop_honest),
		cmocka_unit_test_setup_teardown(whatever_is_wrong_with_an_answer_is_told, make_honest, drop_honest),
		cmocka_unit_test(a_good_hello_is_answered),
		cmocka_unit_test(a_reader_of_another_layout_is_told_both),
		cmocka_unit_test(a_caller_that_makes_no_sense_gets_no_answer),
		cmocka_unit_test(a_reader_must_show_a_pidfd),
		cmocka_unit_test(a_pidfd_is_one_in_any_pid_namespace),
		cmocka_unit_test(reader_25_is_turned_away),
	};

	return cmocka_run_group_tests_name("attach", tests, NULL, NULL);
}
