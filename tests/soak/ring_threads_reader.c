/*
 * ring_threads_reader.c - a reader of ring_threads.c: joins, reads, checks every word, leaves, comes back; and the thread that gives
 * some of its batches back, now and then after it has left.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/seed.h"
#include "tests/soak/ring_threads.h"
#include "tests/soak/storm_payload.h"

enum { KEPT_LIMIT = 4, TIMEOUT_MS = 20, STAY_BATCHES = 12, LOG_BYTES = 512 };

/* A batch on its way to the returner. */
struct parcel {
	struct shmring_reader *reader;
	struct shmring_lease lease;
	bool is_late;
	uint64_t not_before; /* late: so many stays have ended */
};

struct stay {
	struct shmring_reader *reader;
	struct shmring_lease kept[KEPT_LIMIT];
	uint32_t kept_count;
	bool any; /* broadcast: a batch that was not redelivered came; the last of them: */
	uint64_t last;
};

static bool chance(uint64_t *random, uint32_t one_in)
{
	return seed_next(random) % one_in == 0;
}

/* ------------------------------------------------------------------ giving back */

static void give_back(struct round *round, struct shmring_reader *reader, const struct shmring_lease *lease)
{
	const uint64_t *words = shmring_lease_data(reader, lease, 0);
	int rc;

	if (!payload_is_whole(words, PAYLOAD_WORDS) || (uint32_t)words[PAYLOAD_BATCH] != lease->sequence)
		complain(round, TORN, "batch %u was overwritten while it was held", lease->sequence);
	rc = shmring_release(reader, lease);
	if (rc < 0 && rc != -ESTALE) /* stale: the words were poisoned */
		complain(round, ODD, "release: %s", strerror(-rc));
}

static void return_parcel(struct place *place, struct parcel *parcel)
{
	if (chance(&place->returner_random, 2))
		usleep((useconds_t)seed_between(&place->returner_random, 0, 200));
	while (parcel->is_late && count_of(&place->stays_ended) < parcel->not_before)
		sched_yield();
	if (!parcel->is_late)
		place->returned++;
	give_back(place->round, parcel->reader, &parcel->lease);
	free(parcel);
}

void *returner_thread(void *argument)
{
	struct place *place = argument;
	bool closed;

	do {
		struct parcel *parcel;

		closed = atomic_load_explicit(&place->closed, memory_order_acquire);
		parcel = box_take(&place->parcels);
		if (parcel)
			return_parcel(place, parcel);
		else
			usleep(20);
	} while (!closed);
	return NULL;
}

/* False when the returner has one already. */
static bool hand_on(struct place *place, struct shmring_reader *reader, const struct shmring_lease *lease, bool is_late)
{
	struct parcel *parcel = malloc(sizeof *parcel);

	if (!parcel)
		abort();
	*parcel = (struct parcel){
		.reader = reader, .lease = *lease, .is_late = is_late, .not_before = count_of(&place->stays_ended) + 1};
	if (!box_put(&place->parcels, parcel)) {
		free(parcel);
		return false;
	}
	if (!is_late)
		place->handed++;
	count_up(&place->round->tally->handed_on);
	return true;
}

static void keep_at_most(struct place *place, struct stay *stay, uint32_t most)
{
	while (stay->kept_count > most) {
		uint32_t which = (uint32_t)(seed_next(&place->random) % stay->kept_count);
		struct shmring_lease lease = stay->kept[which];

		stay->kept[which] = stay->kept[--stay->kept_count];
		if (!chance(&place->random, 2) || !hand_on(place, stay->reader, &lease, false))
			give_back(place->round, stay->reader, &lease);
	}
}

/* ------------------------------------------------------------------ taking */

static bool is_whole(const struct round *round, const struct shmring_reader *reader, const struct shmring_lease *lease)
{
	const uint64_t *words = shmring_lease_data(reader, lease, 0);
	const uint8_t *tags = shmring_lease_data(reader, lease, 1);
	uint64_t batch = words[PAYLOAD_BATCH];

	return payload_is_whole(words, PAYLOAD_WORDS) && (uint32_t)batch == lease->sequence && batch >= round->first_batch &&
	       batch - round->first_batch < round->batch_count && tags[0] == (uint8_t)batch && tags[ROWS - 1] == (uint8_t)batch &&
	       lease->epoch == (uint32_t)(batch >> 3) && lease->row_count == 1 + (uint32_t)(batch % ROWS);
}

static void check_order(struct place *place, struct stay *stay, uint64_t batch, bool redelivered)
{
	struct round *round = place->round;

	switch (round->share) {
	case SHMRING_SPLIT:
		if (place->any && batch <= place->last)
			complain(round, DISORDER, "%" PRIu64 " came after %" PRIu64, batch, place->last);
		place->last = batch;
		place->any = true;
		break;
	case SHMRING_LANES:
		if (batch != place->next)
			complain(round, DISORDER, "lane %u: %" PRIu64 " came instead of %" PRIu64, place->number, batch,
			         place->next);
		place->next = batch + READERS;
		break;
	case SHMRING_BROADCAST:
		if (redelivered)
			break;
		if (stay->any && batch <= stay->last)
			complain(round, DISORDER, "reader %u: %" PRIu64 " came after %" PRIu64, place->number, batch, stay->last);
		stay->last = batch;
		stay->any = true;
		break;
	}
}

static void take(struct place *place, struct stay *stay, const struct shmring_lease *lease)
{
	struct round *round = place->round;
	uint64_t batch;
	uint32_t taken_by;

	stay->kept[stay->kept_count++] = *lease;
	if (!is_whole(round, stay->reader, lease)) {
		complain(round, TORN, "sequence %u is not what was written", lease->sequence);
		return;
	}
	batch = ((const uint64_t *)shmring_lease_data(stay->reader, lease, 0))[PAYLOAD_BATCH];
	/* relaxed: a ledger */
	taken_by = atomic_fetch_or_explicit(&round->taken[batch - round->first_batch], 1u << place->number, memory_order_relaxed);
	if (round->share == SHMRING_BROADCAST ? (taken_by >> place->number & 1) != 0 : taken_by != 0)
		complain(round, TWICE, "batch %" PRIu64 " came again, to reader %u", batch, place->number);
	if (lease->redelivered)
		count_up(&round->tally->redelivered);
	check_order(place, stay, batch, lease->redelivered);
	count_up(&round->tally->deliveries);
}

/* ------------------------------------------------------------------ looking around */

static void check_lines(struct round *round, char *text)
{
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		unsigned number = 0, again = 1;

		if (sscanf(line, "line %u, which is line %u", &number, &again) != 2 || number != again)
			complain(round, TORN, "the log says '%.*s'", (int)(end - line), line);
	}
}

static void look_around(struct place *place, const struct shmring_reader *reader)
{
	struct round *round = place->round;
	char text[LOG_BYTES];
	enum shmring_end end;

	shmring_last_lines(reader, text, sizeof text);
	check_lines(round, text);
	end = shmring_end_text(reader, text, sizeof text);
	if (end != SHMRING_RUNNING && (end != round->end || strcmp(text, round->end_text) != 0))
		complain(round, ODD, "the end is %d '%s' instead of %d '%s'", end, text, round->end, round->end_text);
	shmring_holders(reader, text, sizeof text);
	if (shmring_note_of(reader, place->number % NOTES) > round->first_batch + round->batch_count)
		complain(round, ODD, "a note names batch %" PRIu64, shmring_note_of(reader, place->number % NOTES));
	if (shmring_counter(reader, 0) > round->batch_count || shmring_reader_ready_count(reader) > shmring_slot_count(reader))
		complain(round, ODD, "more batches are counted than there are");
}

/* What `rc` says must be what the producer did, and a lane has had all that was its own. */
static void check_end(struct place *place, int rc)
{
	struct round *round = place->round;
	int expected = round->end == SHMRING_COMPLETE ? -ENODATA : round->end == SHMRING_CORRUPTED ? -EPROTO : -EPIPE;

	if (rc != expected)
		complain(round, ODD, "acquire says %s at end %d", strerror(-rc), round->end);
	if (round->share == SHMRING_LANES && rc != -EPROTO && place->next < round->first_batch + round->batch_count)
		complain(round, LOST, "lane %u ends before batch %" PRIu64, place->number, place->next);
}

/* ------------------------------------------------------------------ coming and going */

static int join(struct place *place, struct stay *stay)
{
	struct shmring_wish wish = {.hold = chance(&place->random, 2), .number = (int32_t)place->number};
	struct err err = {.text = ""};
	int rc;

	*stay = (struct stay){.reader = NULL};
	if (place->inherited_fd >= 0)
		rc = shmring_attach_fd(&stay->reader, place->inherited_fd, &wish, &err);
	else
		rc = shmring_attach(&stay->reader, place->round->name, &wish, &err);
	place->inherited_fd = -1;
	if (rc < 0 && rc != -EBUSY && rc != -EAGAIN)
		complain(place->round, ODD, "attach: %s (%s)", err.text, strerror(-rc));
	if (rc == 0)
		count_up(&place->round->tally->joins);
	return rc;
}

/* Until it feels like leaving (0), or a negative errno: the end. */
static int read_on(struct place *place, struct stay *stay)
{
	for (;;) {
		struct shmring_lease lease;
		int rc;

		if (chance(&place->random, 4))
			look_around(place, stay->reader);
		rc = shmring_acquire(stay->reader, chance(&place->random, 2) ? 0 : TIMEOUT_MS, &lease);
		if (rc == -ETIMEDOUT || rc == -EDEADLK) { /* the returner has still to give back what we hold too much */
			sched_yield();
			continue;
		}
		if (rc < 0)
			return rc;
		take(place, stay, &lease);
		keep_at_most(place, stay, chance(&place->random, 3) && shmring_hold(stay->reader) > 0 ? 1 : 0);
		if (chance(&place->random, STAY_BATCHES))
			return 0;
	}
}

/* Now and then one batch is still out, and given back by the returner once we have left. */
static void leave(struct place *place, struct stay *stay)
{
	bool is_late = stay->kept_count > 0 && chance(&place->random, 2);

	keep_at_most(place, stay, is_late ? 1 : 0);
	while (is_late && !hand_on(place, stay->reader, &stay->kept[0], true))
		sched_yield();
	while (shmring_held_count(stay->reader) != is_late)
		sched_yield();
	shmring_detach(stay->reader);
	count_up(&place->stays_ended);
}

void *reader_thread(void *argument)
{
	struct place *place = argument;
	int rc;

	do {
		struct stay stay;

		rc = join(place, &stay);
		if (rc == -EBUSY ||
		    rc == -EAGAIN) { /* what we left with is not given back yet; the one who inherited has not joined */
			usleep(50);
			rc = 0;
			continue;
		}
		if (rc < 0)
			break;
		rc = read_on(place, &stay);
		if (rc < 0)
			check_end(place, rc);
		leave(place, &stay);
		if (rc == 0 && chance(&place->random, 2))
			usleep((useconds_t)seed_between(&place->random, 0, 1000));
	} while (rc == 0);
	atomic_store_explicit(&place->closed, true, memory_order_release);
	count_up(&place->round->readers_done);
	return NULL;
}
