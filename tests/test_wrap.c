/*
 * test_wrap.c - batch numbers have 64 bits, sequences 32: over the edge of 2^32 nothing changes its order, and no lane jumps.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "shmring/shmring.h"
#include "tests/seed.h"
#include "tests/soak/storm_payload.h"

enum { READERS = 3, SLOTS = 8, KEPT = 1, MOST_AT_ONCE = SLOTS - READERS * KEPT, BATCHES = 10000, WORDS = 64 };

struct party {
	enum shmring_share share;
	struct shmring_producer *producer;
	struct shmring_reader *reader[READERS]; /* by number */
	struct shmring_lease kept[READERS];
	bool keeps[READERS];
	uint64_t first, claimed, next[READERS]; /* batch numbers */
};

struct joining {
	int socket_fd, rc;
	struct shmring_reader *reader;
};

static void *join(void *argument)
{
	static const struct shmring_wish wish = {.hold = KEPT, .number = SHMRING_ANY_NUMBER};
	struct joining *joining = argument;

	joining->rc = shmring_attach_fd(&joining->reader, joining->socket_fd, &wish, NULL);
	return NULL;
}

static void let_one_in(struct party *party)
{
	struct shmring_visitor visitor;
	struct joining joining;
	pthread_t thread;
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(shmring_door_adopt(party->producer, sockets[0], NULL), 0);
	joining.socket_fd = sockets[1];
	assert_int_equal(pthread_create(&thread, NULL, join, &joining), 0);
	while (shmring_door_step(party->producer, &visitor) != SHMRING_JOINED)
		sched_yield();
	pthread_join(thread, NULL);
	assert_int_equal(joining.rc, 0);
	assert_in_range(shmring_number(joining.reader), 0, READERS - 1);
	assert_null(party->reader[shmring_number(joining.reader)]);
	party->reader[shmring_number(joining.reader)] = joining.reader;
}

static void open_party(struct party *party, enum shmring_share share, uint64_t first)
{
	const struct shmring_field field = {.name = "payload", .dtype = SHMRING_INT64, .dim_count = 2, .shape = {1, WORDS}};
	const struct shmring_config config = {.name = "wrap",
	                                      .slot_count = SLOTS,
	                                      .share = share,
	                                      .reader_limit = READERS,
	                                      .first_batch = first,
	                                      .fields = &field,
	                                      .field_count = 1,
	                                      .catalog_fd = -1,
	                                      .subject = "a test"};

	*party = (struct party){.share = share, .first = first, .claimed = first};
	assert_int_equal(shmring_create(&party->producer, &config, NULL), 0);
	for (uint32_t i = 0; i < READERS; i++) {
		let_one_in(party);
		party->next[i] = first;
		while (share == SHMRING_LANES && party->next[i] % READERS != i)
			party->next[i]++;
	}
}

static void publish(struct party *party, uint64_t count)
{
	while (count-- > 0) {
		struct shmring_slot slot;

		assert_int_equal(shmring_claim(party->producer, 1000, &slot), 0);
		assert_int_equal(slot.sequence, (uint32_t)party->claimed);
		payload_fill(slot.field[0], WORDS, party->claimed, 0);
		shmring_commit(party->producer, &slot, 0, 1);
		party->claimed++;
	}
}

/* The batches from `begin` on are all that nobody has taken, the oldest first. */
static void expect_untaken(const struct party *party, uint64_t begin)
{
	uint32_t sequences[SHMRING_MAX_SLOTS];
	uint32_t count = shmring_untaken(party->producer, sequences);

	assert_int_equal(count, party->claimed - begin);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(sequences[i], (uint32_t)(begin + i));
}

/* Reader `number` takes a batch, which is `expected`, and gives back the one before. */
static void take(struct party *party, uint32_t number, uint64_t expected)
{
	struct shmring_reader *reader = party->reader[number];
	struct shmring_lease lease;
	const uint64_t *words;

	assert_int_equal(shmring_acquire(reader, 0, &lease), 0);
	words = shmring_lease_data(reader, &lease, 0);
	assert_int_equal(lease.sequence, (uint32_t)expected);
	assert_int_equal(words[PAYLOAD_RING], expected);
	assert_true(payload_is_whole(words, WORDS));
	assert_false(lease.redelivered);
	if (party->keeps[number])
		assert_int_equal(shmring_release(reader, &party->kept[number]), 0);
	party->kept[number] = lease;
	party->keeps[number] = true;
}

/* Everything that is ready is taken, by turns. */
static void drain(struct party *party)
{
	struct shmring_lease none;
	bool any = true;

	while (any) {
		any = false;
		for (uint32_t i = 0; i < READERS; i++) {
			uint32_t step = party->share == SHMRING_LANES ? READERS : 1;

			if (party->next[i] >= party->claimed)
				continue;
			take(party, i, party->next[i]);
			party->next[i] += step;
			if (party->share == SHMRING_SPLIT) /* the next one goes to whoever asks next */
				party->next[0] = party->next[1] = party->next[2] = party->next[i];
			any = true;
		}
	}
	for (uint32_t i = 0; i < READERS; i++)
		assert_int_equal(shmring_acquire(party->reader[i], 0, &none), -ETIMEDOUT);
}

static void close_party(struct party *party)
{
	for (uint32_t i = 0; i < READERS; i++) {
		if (party->keeps[i])
			assert_int_equal(shmring_release(party->reader[i], &party->kept[i]), 0);
		shmring_detach(party->reader[i]);
	}
	shmring_destroy(party->producer);
}

static void stream_past(enum shmring_share share, uint64_t first)
{
	uint64_t random = seed_of_test("wrap");
	struct party party;

	open_party(&party, share, first);
	while (party.claimed < first + BATCHES) {
		uint64_t begin = party.claimed;

		publish(&party, seed_between(&random, 1, MOST_AT_ONCE));
		if (share != SHMRING_BROADCAST) /* where those that are kept count as well */
			expect_untaken(&party, begin);
		drain(&party);
		assert_int_equal(shmring_audit(party.producer), 0);
	}
	assert_int_equal(shmring_published(party.producer), party.claimed - first);
	close_party(&party);
}

static void split_keeps_its_order_over_the_wrap(void **state)
{
	(void)state;
	stream_past(SHMRING_SPLIT, (UINT64_C(1) << 32) - 1000);
}

static void broadcast_keeps_its_order_over_the_wrap(void **state)
{
	(void)state;
	stream_past(SHMRING_BROADCAST, (UINT64_C(1) << 32) - 1000);
}

static void lanes_do_not_jump_at_the_wrap(void **state)
{
	(void)state;
	stream_past(SHMRING_LANES, (UINT64_C(1) << 32) - 1000); /* 2^32 mod 3 is 1 */
}

static void lanes_count_from_the_whole_number(void **state)
{
	(void)state;
	stream_past(SHMRING_LANES, (UINT64_C(5) << 32) - 1000);
	stream_past(SHMRING_LANES, UINT64_MAX - 2 * BATCHES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_keeps_its_order_over_the_wrap),
		cmocka_unit_test(broadcast_keeps_its_order_over_the_wrap),
		cmocka_unit_test(lanes_do_not_jump_at_the_wrap),
		cmocka_unit_test(lanes_count_from_the_whole_number),
	};

	return cmocka_run_group_tests_name("wrap", tests, NULL, NULL);
}
