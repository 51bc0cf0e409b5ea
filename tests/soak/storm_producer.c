/*
 * storm_producer.c - the producer of a kill storm: threads claim, fill and commit; the main thread minds the door and audits.
 *
 * It publishes what the ledger lists as pending, then new batches until the supervisor says stop; then it waits until everything
 * was taken and given back.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "tests/seed.h"
#include "tests/soak/storm_ledger.h"
#include "tests/soak/storm_payload.h"

enum { FILLER_COUNT = 3, CLAIM_TIMEOUT_MS = 20, TICK_MS = 5 };

struct works {
	struct storm_ledger *ledger;
	struct shmring_producer *producer;
	uint64_t first_ring;
	pthread_mutex_t lock; /* one thread claims at a time, and counts: */
	_Atomic uint64_t claimed_count;
	_Atomic uint32_t filling; /* threads that have not ended */
};

struct assignment {
	struct shmring_slot slot;
	uint64_t ring, batch;
};

static bool is_over(struct works *works)
{
	return works->claimed_count >= works->ledger->pending_count && atomic_load(&works->ledger->stop);
}

/* 0, -ETIMEDOUT, -ENODATA when there is nothing more to publish, or what failed. */
static int claim(struct works *works, struct assignment *assignment)
{
	struct storm_ledger *ledger = works->ledger;
	int rc;

	if (is_over(works))
		return -ENODATA;
	rc = shmring_claim(works->producer, CLAIM_TIMEOUT_MS, &assignment->slot);
	if (rc < 0)
		return rc;
	assignment->ring = works->first_ring + works->claimed_count;
	atomic_store(&ledger->claimed_ring, assignment->ring + 1);
	if (works->claimed_count < ledger->pending_count)
		assignment->batch = ledger->pending[works->claimed_count];
	else
		assignment->batch = atomic_fetch_add(&ledger->next_batch, 1);
	works->claimed_count++;
	if (assignment->slot.sequence != (uint32_t)assignment->ring)
		storm_complain(ledger, STORM_DISORDER, "claimed sequence %u, expected the low 32 bits of %llu",
		               assignment->slot.sequence, (unsigned long long)assignment->ring);
	return assignment->batch < STORM_MAX_BATCHES ? 0 : -EFBIG;
}

static void fill_and_commit(struct works *works, const struct assignment *assignment, uint64_t *random)
{
	struct storm_ledger *ledger = works->ledger;

	payload_fill(assignment->slot.field[0], ledger->options.payload_bytes / 8, assignment->ring, assignment->batch);
	memset(assignment->slot.field[1], (int)(assignment->ring & 0xff), STORM_ROWS);
	if (seed_next(random) % 16 == 0)
		usleep((useconds_t)seed_between(random, 0, 200)); /* so that others finish first */
	shmring_commit(works->producer, &assignment->slot, ledger->generation, 1 + (uint32_t)(assignment->ring % STORM_ROWS));
	storm_raise(&ledger->published_ring, works->first_ring + shmring_published(works->producer));
}

static void *fill(void *argument)
{
	struct works *works = argument;
	struct assignment assignment;
	uint64_t random = works->ledger->options.seed ^ (uint64_t)works->ledger->generation << 32 ^ (uintptr_t)&assignment;
	int rc;

	do {
		pthread_mutex_lock(&works->lock);
		rc = claim(works, &assignment);
		pthread_mutex_unlock(&works->lock);
		if (rc == 0)
			fill_and_commit(works, &assignment, &random);
	} while (rc == 0 || rc == -ETIMEDOUT);
	if (rc != -ENODATA)
		storm_complain(works->ledger, STORM_ODD, "claim: %s", strerror(-rc));
	atomic_fetch_sub(&works->filling, 1);
	return NULL;
}

static int open_ring(struct works *works)
{
	const struct storm_options *options = &works->ledger->options;
	const struct shmring_field fields[] = {
		{.name = "payload",
	         .dtype = SHMRING_INT64,
	         .dim_count = 2,
	         .shape = {STORM_ROWS, options->payload_bytes / 8 / STORM_ROWS}},
		{.name = "tag", .dtype = SHMRING_UINT8, .dim_count = 1, .shape = {STORM_ROWS}},
	};
	const struct shmring_config config = {
		.name = options->ring,
		.slot_count = options->slot_count,
		.share = options->share,
		.reader_limit = options->reader_count,
		.first_batch = works->first_ring,
		.fields = fields,
		.field_count = 2,
		.catalog_fd = -1,
		.subject = "a kill storm",
	};
	struct err err = {.text = ""};
	int rc = shmring_create(&works->producer, &config, &err);

	if (rc == 0)
		rc = shmring_door_open(works->producer, NULL, &err);
	if (rc < 0)
		storm_complain(works->ledger, STORM_ODD, "the producer cannot start: %s", err.text);
	return rc;
}

/* In broadcast, what was committed waits until all readers have been there at once. */
static bool is_published(struct works *works)
{
	return atomic_load(&works->filling) == 0 && shmring_published(works->producer) == works->claimed_count;
}

/* Whoever was to get a batch has got it; nobody who dies now would leave one. */
static bool is_drained(const struct shmring_producer *producer)
{
	return shmring_untaken(producer, NULL) == 0 && shmring_held(producer) == 0;
}

static int mind_the_door(struct works *works)
{
	struct pollfd door = {.fd = shmring_door_fd(works->producer), .events = POLLIN};
	struct shmring_visitor visitor;
	bool finished = false;

	for (;;) {
		if (poll(&door, 1, TICK_MS) < 0 && errno != EINTR)
			return -errno;
		while (shmring_door_step(works->producer, &visitor) != SHMRING_NOTHING)
			;
		if (shmring_audit(works->producer) < 0) {
			storm_complain(works->ledger, STORM_ODD, "the audit fails, and nobody scribbled");
			return -EPROTO;
		}
		if (!finished && is_published(works)) {
			shmring_finish(works->producer, SHMRING_COMPLETE, NULL);
			finished = true;
		}
		if (finished && is_drained(works->producer))
			return 0;
	}
}

int storm_produce(struct storm_ledger *ledger)
{
	struct works works = {.ledger = ledger,
	                      .first_ring = atomic_load(&ledger->claimed_ring),
	                      .lock = PTHREAD_MUTEX_INITIALIZER,
	                      .filling = FILLER_COUNT};
	pthread_t thread[FILLER_COUNT];
	int rc;

	if (open_ring(&works) < 0)
		return 1;
	for (int i = 0; i < FILLER_COUNT; i++) {
		if (pthread_create(&thread[i], NULL, fill, &works) != 0)
			return 1;
	}
	rc = mind_the_door(&works);
	if (rc < 0)
		return 1;
	for (int i = 0; i < FILLER_COUNT; i++)
		pthread_join(thread[i], NULL);
	atomic_store(&ledger->complete, true);
	shmring_destroy(works.producer);
	return 0;
}
