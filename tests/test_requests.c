/* test_requests.c - what the owner asks for arrives whole and in order; nobody else is heard, and no piece does harm. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "shmring/layout.h"
#include "shmring/wire.h"
#include "tests/ring_fixture.h"

enum { ATTEMPTS = 20000 };

static struct shmring_producer *create(const char *name)
{
	return ring_create_as(name, &(struct ring_plan){.slots = 4, .readers = 2, .takes_requests = true});
}

/* Steps through the door until something happens there. */
static enum shmring_event await(struct shmring_producer *producer, struct shmring_visitor *visitor)
{
	for (int attempts = 0; attempts < ATTEMPTS; attempts++) {
		enum shmring_event event = shmring_door_step(producer, visitor);

		if (event != SHMRING_NOTHING)
			return event;
		usleep(attempts < 100 ? 10 : 1000);
	}
	fail_msg("nothing happens at the door");
	return SHMRING_NOTHING;
}

/* All that is at the door now leads to nothing. */
static void expect_nothing(struct shmring_producer *producer)
{
	struct shmring_visitor visitor;

	for (int i = 0; i < 100; i++)
		assert_int_equal(shmring_door_step(producer, &visitor), SHMRING_NOTHING);
}

static uint8_t *make_bytes(size_t byte_count, unsigned seed)
{
	uint8_t *bytes = malloc(byte_count);

	assert_non_null(bytes);
	for (size_t i = 0; i < byte_count; i++)
		bytes[i] = (uint8_t)((i * 2654435761u + seed) >> 7);
	return bytes;
}

static void expect_request(struct shmring_producer *producer, const void *bytes, size_t byte_count)
{
	struct shmring_visitor visitor;

	assert_int_equal(await(producer, &visitor), SHMRING_REQUESTED);
	assert_true(visitor.is_owner);
	assert_int_equal(visitor.request_bytes, byte_count);
	assert_memory_equal(visitor.request, bytes, byte_count);
	free(visitor.request);
}

/* Sends in a thread of its own, which may wait. */
struct sender {
	struct shmring_reader *reader;
	const void *bytes;
	size_t byte_count;
	int count, rc;
	_Atomic int sent;
	pthread_t thread;
};

static void *send_all(void *argument)
{
	struct sender *sender = argument;

	while (sender->count-- > 0 && sender->rc == 0) {
		sender->rc = shmring_request(sender->reader, sender->bytes, sender->byte_count);
		sender->sent += sender->rc == 0;
	}
	return NULL;
}

static void start(struct sender *sender)
{
	assert_int_equal(pthread_create(&sender->thread, NULL, send_all, sender), 0);
}

static void requests_of_any_size_arrive_whole_and_in_order(void **state)
{
	static const size_t sizes[] = {1,
	                               1000,
	                               WIRE_PIECE_BYTES - 1,
	                               WIRE_PIECE_BYTES,
	                               WIRE_PIECE_BYTES + 1,
	                               3 * WIRE_PIECE_BYTES,
	                               1 << 20,
	                               SHMRING_MAX_REQUEST_BYTES};
	struct shmring_producer *producer = create("whole");
	struct shmring_reader *reader = ring_adopt_reader(producer);

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		uint8_t *bytes = make_bytes(sizes[i], (unsigned)i);
		struct sender sender = {.reader = reader, .bytes = bytes, .byte_count = sizes[i], .count = 2};

		start(&sender);
		expect_request(producer, bytes, sizes[i]);
		expect_request(producer, bytes, sizes[i]);
		pthread_join(sender.thread, NULL);
		assert_int_equal(sender.rc, 0);
		free(bytes);
	}
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void a_request_that_cannot_be_sent_says_why(void **state)
{
	struct shmring_producer *producer = create("refused");
	struct shmring_reader *reader = ring_adopt_reader(producer);
	pid_t child;
	int status;

	(void)state;
	assert_int_equal(shmring_request(reader, "", 0), -EINVAL);
	assert_int_equal(shmring_request(reader, "", SHMRING_MAX_REQUEST_BYTES + 1), -EMSGSIZE);
	child = fork();
	if (child == 0)
		_exit(shmring_request(reader, "x", 1) == -ECHILD ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	expect_nothing(producer);
	shmring_finish(producer, SHMRING_STOPPED, NULL);
	assert_int_equal(shmring_request(reader, "x", 1), -EPIPE);
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void a_request_to_a_producer_that_is_gone_fails(void **state)
{
	struct shmring_producer *producer = create("gone");
	struct shmring_reader *reader = ring_adopt_reader(producer);

	(void)state;
	shmring_destroy(producer);
	assert_int_equal(shmring_request(reader, "x", 1), -EPIPE);
	shmring_detach(reader);
}

/* Joins by name, from a thread, since the door must answer meanwhile. */
static void *attach_by_name(void *argument)
{
	struct ring_join *join = argument;

	join->rc = shmring_attach(&join->reader, ring_name("owner"), NULL, &join->err);
	return NULL;
}

static void only_the_owner_is_heard(void **state)
{
	const char *name = ring_name("owner");
	struct shmring_producer *producer = create(name);
	struct shmring_reader *owner = ring_adopt_reader(producer);
	struct ring_join join = {.rc = -1};
	struct shmring_visitor visitor;
	pthread_t thread;

	(void)state;
	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, attach_by_name, &join), 0);
	assert_int_equal(await(producer, &visitor), SHMRING_JOINED);
	pthread_join(thread, NULL);
	assert_int_equal(join.rc, 0);
	assert_int_equal(shmring_request(join.reader, "x", 1), 0);
	expect_nothing(producer);
	assert_int_equal(shmring_request(join.reader, "x", 1), -EPIPE); /* its socket was closed; it still reads */
	assert_int_equal(shmring_reader_count(producer), 2);
	assert_int_equal(shmring_request(owner, "y", 1), 0);
	expect_request(producer, "y", 1);
	shmring_detach(join.reader);
	shmring_detach(owner);
	shmring_destroy(producer);
}

static void a_ring_that_takes_no_requests_hears_none(void **state)
{
	struct shmring_producer *producer = ring_create("deaf", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);

	(void)state;
	assert_int_equal(shmring_request(reader, "x", 1), 0);
	expect_nothing(producer);
	assert_int_equal(shmring_request(reader, "x", 1), -EPIPE);
	shmring_detach(reader);
	shmring_destroy(producer);
}

/* An owner that says whatever it likes: the socket, joined by hand. */
static int join_by_hand(struct shmring_producer *producer)
{
	struct wire_hello hello = {.magic = WIRE_MAGIC, .fingerprint = layout_fingerprint(), .purpose = WIRE_JOIN};
	struct shmring_visitor visitor;
	struct wire_welcome welcome;
	int sockets[2], fds[WIRE_MAX_FDS], pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	hello.wish.number = SHMRING_ANY_NUMBER;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(shmring_door_adopt(producer, sockets[0], NULL), 0);
	assert_int_equal(wire_send(sockets[1], &hello, sizeof hello, &pidfd, 1), 0);
	close(pidfd);
	assert_int_equal(await(producer, &visitor), SHMRING_JOINED);
	assert_int_equal(wire_receive(sockets[1], &welcome, sizeof welcome, fds), 0);
	wire_close_fds(fds);
	return sockets[1];
}

static int send_piece(int socket_fd, uint64_t request_bytes, uint64_t piece_at, size_t piece_bytes)
{
	static const uint8_t bytes[WIRE_PIECE_BYTES + 1];
	const struct wire_hello hello = {.magic = WIRE_MAGIC,
	                                 .fingerprint = layout_fingerprint(),
	                                 .purpose = WIRE_REQUEST,
	                                 .request_bytes = request_bytes,
	                                 .piece_at = piece_at};

	return wire_send_piece(socket_fd, &hello, bytes, piece_bytes);
}

static void no_piece_that_cannot_be_does_harm(void **state)
{
	static const struct {
		uint64_t request_bytes, piece_at;
		size_t piece_bytes;
	} pieces[] = {
		{0, 0, 0},
		{10, 0, 0},
		{0, 0, 10},
		{10, 0, 11},
		{200, 100, 100}, /* nothing began */
		{100, UINT64_MAX, 100},
		{UINT64_MAX, 0, 100},
		{SHMRING_MAX_REQUEST_BYTES + 1, 0, 100},
		{WIRE_PIECE_BYTES + 1, 0, WIRE_PIECE_BYTES + 1}, /* more than a packet holds */
	};

	(void)state;
	for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
		struct shmring_producer *producer = create("hostile");
		int socket_fd = join_by_hand(producer);

		assert_int_equal(send_piece(socket_fd, pieces[i].request_bytes, pieces[i].piece_at, pieces[i].piece_bytes), 0);
		expect_nothing(producer);
		assert_int_equal(send_piece(socket_fd, 1, 0, 1), -EPIPE);
		close(socket_fd);
		shmring_destroy(producer);
	}
}

static void pieces_out_of_order_end_the_conversation(void **state)
{
	static const struct {
		uint64_t request_bytes, piece_at;
	} seconds[] = {{300, 200}, {300, 99}, {301, 100}, {150, 100}};

	(void)state;
	for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
		struct shmring_producer *producer = create("disorder");
		int socket_fd = join_by_hand(producer);

		assert_int_equal(send_piece(socket_fd, 300, 0, 100), 0);
		assert_int_equal(send_piece(socket_fd, seconds[i].request_bytes, seconds[i].piece_at, 100), 0);
		expect_nothing(producer);
		assert_int_equal(send_piece(socket_fd, 1, 0, 1), -EPIPE);
		close(socket_fd);
		shmring_destroy(producer);
	}
}

static void a_request_that_begins_anew_replaces_the_unfinished_one(void **state)
{
	struct shmring_producer *producer = create("anew");
	int socket_fd = join_by_hand(producer);
	struct shmring_visitor visitor;

	(void)state;
	assert_int_equal(send_piece(socket_fd, SHMRING_MAX_REQUEST_BYTES, 0, 100), 0);
	assert_int_equal(send_piece(socket_fd, 50, 0, 20), 0);
	assert_int_equal(send_piece(socket_fd, 50, 20, 30), 0);
	assert_int_equal(await(producer, &visitor), SHMRING_REQUESTED);
	assert_int_equal(visitor.request_bytes, 50);
	free(visitor.request);
	close(socket_fd);
	shmring_destroy(producer);
}

static void a_goodbye_in_the_middle_of_a_request_is_heard(void **state)
{
	const struct wire_hello goodbye = {.magic = WIRE_MAGIC, .fingerprint = layout_fingerprint(), .purpose = WIRE_LEAVE};
	struct shmring_producer *producer = create("midway");
	int socket_fd = join_by_hand(producer);
	struct shmring_visitor visitor;

	(void)state;
	assert_int_equal(send_piece(socket_fd, 300, 0, 100), 0);
	assert_int_equal(wire_send(socket_fd, &goodbye, sizeof goodbye, NULL, 0), 0);
	assert_int_equal(await(producer, &visitor), SHMRING_LEFT);
	assert_true(visitor.is_owner);
	close(socket_fd);
	shmring_destroy(producer);
}

/* In a child: joins, sends a part of a request, and is killed. */
static void an_owner_that_dies_in_the_middle_of_a_request_is_missed(void **state)
{
	(void)state;
	for (int held = 0; held < 2; held++) {
		struct shmring_producer *producer = create("dead");
		struct shmring_visitor visitor;
		int sockets[2], told[2];
		pid_t child;
		char byte;

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
		assert_int_equal(pipe(told), 0);
		child = fork();
		if (child == 0) {
			struct shmring_reader *reader;

			close(sockets[0]);
			if (shmring_attach_fd(&reader, sockets[1], NULL, NULL) == 0 && send_piece(sockets[1], 300, 0, 100) == 0 &&
			    write(told[1], "x", 1) == 1)
				pause();
			_exit(1);
		}
		close(sockets[1]);
		assert_int_equal(shmring_door_adopt(producer, sockets[0], NULL), 0);
		assert_int_equal(await(producer, &visitor), SHMRING_JOINED);
		shmring_door_hold_requests(producer, held == 1);
		assert_int_equal(read(told[0], &byte, 1), 1);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_int_equal(await(producer, &visitor), SHMRING_DIED);
		assert_true(visitor.is_owner);
		shmring_destroy(producer);
		close(told[0]);
		close(told[1]);
	}
}

static void a_held_owner_waits_and_goes_on_where_it_was(void **state)
{
	enum { REQUESTS = 200 };
	struct shmring_producer *producer = create("held");
	struct shmring_reader *reader = ring_adopt_reader(producer);
	uint8_t *bytes = make_bytes(20000, 1);
	struct sender sender = {.reader = reader, .bytes = bytes, .byte_count = 20000, .count = REQUESTS};
	int sent;

	(void)state;
	shmring_door_hold_requests(producer, true);
	start(&sender);
	do { /* until its socket is full */
		sent = sender.sent;
		usleep(150000);
		expect_nothing(producer);
	} while (sent == 0 || sender.sent != sent);
	assert_true(sent < REQUESTS);
	shmring_door_hold_requests(producer, false);
	for (int i = 0; i < REQUESTS; i++)
		expect_request(producer, bytes, 20000);
	pthread_join(sender.thread, NULL);
	assert_int_equal(sender.rc, 0);
	shmring_detach(reader);
	shmring_destroy(producer);
	free(bytes);
}

static void what_a_leaver_asked_for_is_forgotten_while_it_is_held(void **state)
{
	struct shmring_producer *producer = create("leaver");
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct shmring_visitor visitor;

	(void)state;
	shmring_door_hold_requests(producer, true);
	for (int i = 0; i < 5; i++)
		assert_int_equal(shmring_request(reader, "x", 1), 0);
	expect_nothing(producer);
	shmring_detach(reader);
	assert_int_equal(await(producer, &visitor), SHMRING_LEFT);
	shmring_destroy(producer);
}

static void ignore_signal(int number)
{
	(void)number;
}

static void a_signal_interrupts_a_request_that_waits_and_it_can_be_sent_again(void **state)
{
	struct shmring_producer *producer = create("interrupted");
	struct shmring_reader *reader = ring_adopt_reader(producer);
	uint8_t *bytes = make_bytes(1 << 20, 1); /* more than the socket holds */
	struct sender sender = {.reader = reader, .bytes = bytes, .byte_count = 1 << 20, .count = 1};

	(void)state;
	shmring_door_hold_requests(producer, true);
	start(&sender);
	while (pthread_tryjoin_np(sender.thread, NULL) != 0) {
		pthread_kill(sender.thread, SIGUSR1);
		usleep(1000);
	}
	assert_int_equal(sender.rc, -EINTR);
	shmring_door_hold_requests(producer, false);
	sender = (struct sender){.reader = reader, .bytes = bytes, .byte_count = 1 << 20, .count = 1};
	start(&sender);
	expect_request(producer, bytes, 1 << 20);
	pthread_join(sender.thread, NULL);
	assert_int_equal(sender.rc, 0);
	shmring_detach(reader);
	shmring_destroy(producer);
	free(bytes);
}

static void a_goodbye_behind_held_requests_is_heard(void **state)
{
	struct shmring_producer *producer = create("adieu");
	struct shmring_reader *reader = ring_adopt_reader(producer);
	struct shmring_visitor visitor;
	uint8_t *bytes = make_bytes(1 << 20, 1);
	struct sender sender = {.reader = reader, .bytes = bytes, .byte_count = 1 << 20, .count = 1};

	(void)state;
	shmring_door_hold_requests(producer, true);
	start(&sender);
	while (pthread_tryjoin_np(sender.thread, NULL) != 0) { /* it gives up with its socket full */
		pthread_kill(sender.thread, SIGUSR1);
		usleep(1000);
	}
	assert_int_equal(sender.rc, -EINTR);
	shmring_detach(reader);
	assert_int_equal(await(producer, &visitor), SHMRING_LEFT);
	assert_true(visitor.is_owner);
	shmring_destroy(producer);
	free(bytes);
}

static void a_goodbye_behind_requests_is_heard_when_its_reader_has_ended(void **state)
{
	struct shmring_producer *producer = create("ended");
	struct shmring_visitor visitor;
	enum shmring_event event;
	int sockets[2];
	pid_t child;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	child = fork();
	if (child == 0) {
		struct shmring_reader *reader;

		close(sockets[0]);
		if (shmring_attach_fd(&reader, sockets[1], NULL, NULL) < 0)
			_exit(1);
		for (int i = 0; i < 5; i++)
			(void)shmring_request(reader, "request", 8); /* they fit into the socket */
		shmring_detach(reader);
		_exit(0);
	}
	close(sockets[1]);
	assert_int_equal(shmring_door_adopt(producer, sockets[0], NULL), 0);
	assert_int_equal(await(producer, &visitor), SHMRING_JOINED);
	assert_int_equal(waitpid(child, NULL, 0), child);
	while ((event = await(producer, &visitor)) == SHMRING_REQUESTED)
		free(visitor.request);
	assert_int_equal(event, SHMRING_LEFT);
	shmring_destroy(producer);
}

int main(void)
{
	const struct sigaction action = {.sa_handler = ignore_signal}; /* without SA_RESTART */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_of_any_size_arrive_whole_and_in_order),
		cmocka_unit_test(a_request_that_cannot_be_sent_says_why),
		cmocka_unit_test(a_request_to_a_producer_that_is_gone_fails),
		cmocka_unit_test(only_the_owner_is_heard),
		cmocka_unit_test(a_ring_that_takes_no_requests_hears_none),
		cmocka_unit_test(no_piece_that_cannot_be_does_harm),
		cmocka_unit_test(pieces_out_of_order_end_the_conversation),
		cmocka_unit_test(a_request_that_begins_anew_replaces_the_unfinished_one),
		cmocka_unit_test(a_goodbye_in_the_middle_of_a_request_is_heard),
		cmocka_unit_test(an_owner_that_dies_in_the_middle_of_a_request_is_missed),
		cmocka_unit_test(a_held_owner_waits_and_goes_on_where_it_was),
		cmocka_unit_test(what_a_leaver_asked_for_is_forgotten_while_it_is_held),
		cmocka_unit_test(a_signal_interrupts_a_request_that_waits_and_it_can_be_sent_again),
		cmocka_unit_test(a_goodbye_behind_held_requests_is_heard),
		cmocka_unit_test(a_goodbye_behind_requests_is_heard_when_its_reader_has_ended),
	};

	sigaction(SIGUSR1, &action, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
