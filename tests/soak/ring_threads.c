/*
 * ring_threads.c - the ring with threads of one process, for ThreadSanitizer: any access to shared memory that is not ordered by the
 * ring's own words is a report.  In other builds it is a stress test.
 *
 *   ring_threads split|lanes|broadcast|all [SECONDS [SEED]]
 *
 * Each round is a ring of 4 to 7 slots with some hundred batches: a thread that claims, three that fill and commit, three readers with
 * mappings of their own that join, leave and come back, and for each a thread that gives batches back; the main thread is the door.
 * It ends with shmring_finish() or with a poisoned ring.  How ThreadSanitizer is made to take the mappings for one memory:
 * threads_as_processes.c.  One summary line; exit code 1 on any violation.
 */
#include "tests/soak/ring_threads.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "shmring/producer.h"
#include "shmring/slot.h"
#include "tests/seed.h"
#include "tests/soak/storm_payload.h"

enum { CLAIM_TIMEOUT_MS = 20, DOOR_MS = 5, BATCHES_LEAST = 40, HANG_S = 60, COMPLAINT_LIMIT = 20 };

static const char *const share_names[] = {"split", "lanes", "broadcast", "all", NULL};
static const char *const fault_names[FAULT_COUNT] = {"torn", "lost", "twice", "disorder", "odd"};

void complain(struct round *round, enum fault fault, const char *format, ...)
{
	va_list arguments;

	count_up(&round->tally->fault[fault]);
	if (count_of(&round->tally->fault[fault]) > COMPLAINT_LIMIT)
		return;
	flockfile(stderr);
	fprintf(stderr, "%s, %s: ", share_names[round->share], fault_names[fault]);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	funlockfile(stderr);
}

/* ------------------------------------------------------------------ the producer's threads */

static void log_line(struct round *round)
{
	unsigned number = (unsigned)atomic_fetch_add_explicit(&round->lines, 1, memory_order_relaxed); /* relaxed: a number */
	char line[64];

	snprintf(line, sizeof line, "line %u, which is line %u", number, number);
	shmring_log(round->producer, line);
}

static void *claimer_thread(void *argument)
{
	struct round *round = argument;

	for (uint64_t i = 0; i < round->batch_count;) {
		struct shmring_slot claimed, *job;
		int rc = shmring_claim(round->producer, CLAIM_TIMEOUT_MS, &claimed);

		if (rc == -ETIMEDOUT)
			continue;
		if (rc < 0) {
			complain(round, ODD, "claim: %s", strerror(-rc));
			_exit(1); /* all would wait for what never comes */
		}
		job = malloc(sizeof *job);
		if (!job)
			abort();
		*job = claimed;
		while (!box_put(&round->jobs, job))
			usleep(10);
		if (i % 4 == 0)
			log_line(round);
		i++;
	}
	return NULL;
}

static void fill(struct round *round, const struct shmring_slot *slot, uint32_t note)
{
	uint64_t batch = round->first_batch + (uint32_t)(slot->sequence - (uint32_t)round->first_batch);

	shmring_note(round->producer, note, batch);
	payload_fill(slot->field[0], PAYLOAD_WORDS, round->first_batch, batch);
	memset(slot->field[1], (int)(batch & 0xff), ROWS);
	shmring_counter_add(round->producer, 0, 1);
	shmring_commit(round->producer, slot, (uint32_t)(batch >> 3), 1 + (uint32_t)(batch % ROWS));
	if (batch % 4 == 1)
		log_line(round);
}

static void *filler_thread(void *argument)
{
	struct round *round = argument;
	uint32_t note = (uint32_t)atomic_fetch_add_explicit(&round->fillers_begun, 1, memory_order_relaxed); /* relaxed: a number */
	uint64_t *random = &round->filler_random[note];

	while (count_of(&round->committed) < round->batch_count) {
		struct shmring_slot *job = box_take(&round->jobs);

		if (!job) {
			usleep(10);
			continue;
		}
		if (seed_next(random) % 4 == 0) /* so that batches are finished out of order */
			usleep((useconds_t)seed_between(random, 0, 100));
		fill(round, job, note);
		free(job);
		count_up(&round->committed);
	}
	return NULL;
}

/* ------------------------------------------------------------------ the main thread: door, end */

/* The slot words are overwritten, as by a reader gone wild, and the producer looks. */
static void poison(struct round *round)
{
	int rc;

	/* relaxed: as wild as it gets */
	atomic_store_explicit(&round->producer->map.slot[0].word, slot_word(7, 7, LAYOUT_POISON), memory_order_relaxed);
	rc = shmring_audit(round->producer);
	if (rc != -EPROTO)
		complain(round, ODD, "the audit of an impossible word says %d", rc);
	count_up(&round->tally->poisoned);
}

static void end_round(struct round *round, uint64_t *random)
{
	static const enum shmring_end ends[] = {SHMRING_COMPLETE, SHMRING_COMPLETE, SHMRING_STOPPED, SHMRING_FAILED,
	                                        SHMRING_CORRUPTED};

	round->end = ends[seed_next(random) % 5];
	if (round->end == SHMRING_CORRUPTED) {
		strcpy(round->end_text, "the ring's slot words were overwritten by another process");
		poison(round);
	} else {
		snprintf(round->end_text, sizeof round->end_text, "%" PRIu64 " batches from %" PRIu64, round->batch_count,
		         round->first_batch);
		shmring_finish(round->producer, round->end, round->end_text);
	}
}

/* A word from a reader at the door. */
static void step(struct round *round)
{
	struct shmring_visitor visitor;
	enum shmring_event event = SHMRING_NOTHING;

	do {
		event = shmring_door_step(round->producer, &visitor);
		if (event == SHMRING_DIED)
			complain(round, ODD, "reader %u died, says the door", visitor.reader);
		if (event == SHMRING_LEFT && round->place[visitor.reader].handed != round->place[visitor.reader].returned)
			complain(round, LOST, "reader %u left before it had given back what it did", visitor.reader);
	} while (event != SHMRING_NOTHING);
}

static void wait_at_door(struct round *round)
{
	struct pollfd door = {.fd = shmring_door_fd(round->producer), .events = POLLIN};

	(void)poll(&door, 1, DOOR_MS); /* whatever it says, the door is looked at */
	step(round);
	if (shmring_held(round->producer) > round->producer->slot_count ||
	    shmring_untaken(round->producer, NULL) > round->producer->slot_count)
		complain(round, ODD, "more slots are held or untaken than there are");
}

static void watch_over(struct round *round, uint64_t *random)
{
	while (count_of(&round->committed) < round->batch_count)
		wait_at_door(round);
	end_round(round, random);
	while (count_of(&round->readers_done) < READERS)
		wait_at_door(round);
	step(round);
}

/*
 * A batch may be left over: its reader was about to leave when it was offered to it, and the others had seen the end.  The producer
 * then names it.
 */
static bool is_named(const struct round *round, uint64_t batch)
{
	uint32_t sequences[SHMRING_MAX_SLOTS], count = shmring_untaken(round->producer, sequences);

	while (count > 0 && sequences[count - 1] != (uint32_t)batch)
		count--;
	return count > 0;
}

static void check_ledger(struct round *round)
{
	for (uint64_t i = 0; i < round->batch_count && round->end != SHMRING_CORRUPTED; i++) {
		/* relaxed: its writers have ended */
		if (atomic_load_explicit(&round->taken[i], memory_order_relaxed) != 0)
			continue;
		if (round->share == SHMRING_BROADCAST && is_named(round, round->first_batch + i))
			count_up(&round->tally->left_over);
		else
			complain(round, LOST, "nobody got batch %" PRIu64, round->first_batch + i);
	}
}

/* ------------------------------------------------------------------ a round */

static struct shmring_producer *create_ring(const struct round *round, uint32_t slot_count)
{
	static const struct shmring_field fields[] = {
		{.name = "payload", .dtype = SHMRING_INT64, .dim_count = 2, .shape = {ROWS, PAYLOAD_WORDS / ROWS}},
		{.name = "tag", .dtype = SHMRING_UINT8, .dim_count = 1, .shape = {ROWS}},
	};
	static const char *const counters[] = {"filled"};
	const struct shmring_config config = {.name = round->name,
	                                      .slot_count = slot_count,
	                                      .segment = slot_count % 2 ? SHMRING_SEGMENT_AUTO : SHMRING_SEGMENT_MEMFD,
	                                      .share = round->share,
	                                      .reader_limit = READERS,
	                                      .first_batch = round->first_batch,
	                                      .fields = fields,
	                                      .field_count = 2,
	                                      .counter_names = counters,
	                                      .counter_count = 1,
	                                      .catalog_fd = -1,
	                                      .subject = "threads"};
	struct shmring_producer *producer;
	struct err err = {.text = ""};

	if (shmring_create(&producer, &config, &err) < 0 || shmring_door_open(producer, NULL, &err) < 0) {
		fprintf(stderr, "ring_threads: %s\n", err.text);
		exit(1);
	}
	return producer;
}

/* The first reader joins as the process that started a worker does. */
static int let_inherit(struct round *round)
{
	int sockets[2];
	struct err err = {.text = ""};

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0 ||
	    shmring_door_adopt(round->producer, sockets[0], &err) < 0) {
		fprintf(stderr, "ring_threads: no socket to inherit: %s\n", err.text);
		exit(1);
	}
	return sockets[1];
}

static void plan_places(struct round *round, uint64_t *random)
{
	for (uint32_t i = 0; i < READERS; i++) {
		struct place *place = &round->place[i];

		*place = (struct place){.round = round, .number = i, .inherited_fd = -1, .next = round->first_batch};
		place->random = seed_next(random);
		place->returner_random = seed_next(random);
		while (place->next % READERS != i)
			place->next++;
	}
	for (uint32_t i = 0; i < FILLERS; i++)
		round->filler_random[i] = seed_next(random);
}

static pthread_t start(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, argument) != 0)
		abort();
	return thread;
}

static void run_round(struct tally *tally, enum shmring_share share, uint64_t *random)
{
	static struct round round; /* one at a time */
	pthread_t threads[1 + FILLERS + 2 * READERS];
	uint32_t count = 0;

	round = (struct round){.tally = tally, .share = share};
	round.batch_count = seed_between(random, BATCHES_LEAST, BATCH_LIMIT);
	round.first_batch = seed_between(random, 0, 3) == 0 ? UINT32_MAX - 50u : 0; /* sequences wrap, or not */
	snprintf(round.name, sizeof round.name, "threads-%d", getpid());
	round.producer = create_ring(&round, (uint32_t)seed_between(random, READERS + 1, 2 * READERS + 1));
	plan_places(&round, random);
	if (seed_between(random, 0, 1) == 0)
		round.place[0].inherited_fd = let_inherit(&round);
	threads[count++] = start(claimer_thread, &round);
	for (int i = 0; i < FILLERS; i++)
		threads[count++] = start(filler_thread, &round);
	for (int i = 0; i < READERS; i++) {
		threads[count++] = start(reader_thread, &round.place[i]);
		threads[count++] = start(returner_thread, &round.place[i]);
	}
	alarm(HANG_S); /* the end of us: a hang is to be seen as one */
	watch_over(&round, random);
	for (uint32_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	check_ledger(&round);
	shmring_destroy(round.producer);
	atomic_fetch_add_explicit(&tally->batches, round.batch_count, memory_order_relaxed); /* relaxed: a number */
	count_up(&tally->rounds);
}

static bool report(const char *share, const struct tally *tally, uint64_t seed, double seconds)
{
	uint64_t violations = 0;

	printf("ring_threads %s: %" PRIu64 " rounds, %" PRIu64 " batches, %" PRIu64 " deliveries, %" PRIu64 " joins, %" PRIu64
	       " given back by another thread, %" PRIu64 " redelivered, %" PRIu64 " left over and named, %" PRIu64
	       " rings poisoned;",
	       share, count_of(&tally->rounds), count_of(&tally->batches), count_of(&tally->deliveries), count_of(&tally->joins),
	       count_of(&tally->handed_on), count_of(&tally->redelivered), count_of(&tally->left_over), count_of(&tally->poisoned));
	for (int i = 0; i < FAULT_COUNT; i++) {
		printf(" %s %" PRIu64 "%s", fault_names[i], count_of(&tally->fault[i]), i + 1 < FAULT_COUNT ? "," : "");
		violations += count_of(&tally->fault[i]);
	}
	printf("; seed %" PRIu64 ", %.1f s\n", seed, seconds);
	return violations == 0;
}

int main(int argc, char **argv)
{
	static struct tally tally;
	double seconds = argc > 2 ? atof(argv[2]) : 2;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 7, random = seed, begin_ns = clock_now_ns(), end_ns;
	uint32_t share = 0, round = 0;

	while (argc > 1 && share_names[share] && strcmp(argv[1], share_names[share]) != 0)
		share++;
	if (argc < 2 || argc > 4 || !share_names[share] || seconds <= 0) {
		fprintf(stderr, "usage: ring_threads split|lanes|broadcast|all [SECONDS [SEED]]\n");
		return 2;
	}
	end_ns = begin_ns + (uint64_t)(seconds * 1e9);
	do {
		run_round(&tally, (enum shmring_share)(share > SHMRING_BROADCAST ? round++ % 3 : share), &random);
	} while (clock_now_ns() < end_ns);
	return report(share_names[share], &tally, seed, (double)(clock_now_ns() - begin_ns) / 1e9) ? 0 : 1;
}
