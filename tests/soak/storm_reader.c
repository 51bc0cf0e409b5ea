/*
 * storm_reader.c - a reader of a kill storm: takes batches, checks every byte and the order, holds them for a while, checks again
 * and gives them back; now and then leaves, with or without what it holds, and comes back.  Ends when all is done.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/seed.h"
#include "tests/soak/storm_ledger.h"
#include "tests/soak/storm_payload.h"

enum {
	ACQUIRE_TIMEOUT_MS = 250,
	KEPT_LIMIT = 8,
	HOLD_LIMIT = 2,
	HOLD_US = 150,
	LONG_HOLD_US = 1500,
	STAY_BATCHES = 150,
	JOINS_WITH_HANDS_FULL = 3
};

struct kept {
	struct shmring_reader *reader; /* that took it: it may have left since */
	struct shmring_lease lease;
	uint64_t ring, batch;
};

/* From joining to leaving. */
struct stay {
	struct shmring_reader *reader;
	uint64_t published_before; /* every batch below was published before we joined */
	uint64_t claimed_after;    /* every batch from here on was published after we had joined */
	uint64_t next;             /* the number in the ring that must come next; none is known below claimed_after */
	bool any;                  /* that was not redelivered; the last of them: */
	uint64_t last;
};

struct member {
	struct storm_ledger *ledger;
	struct storm_place *place;
	uint32_t place_index;
	uint64_t random;
	struct stay stay;
	struct kept kept[KEPT_LIMIT];
	uint32_t kept_count;
};

static bool chance(struct member *member, uint32_t one_in)
{
	return seed_next(&member->random) % one_in == 0;
}

static void nap(struct member *member, uint32_t most_us)
{
	usleep((useconds_t)seed_between(&member->random, 0, most_us));
}

static void progress(struct member *member)
{
	atomic_store(&member->place->progress_ns, clock_now_ns());
}

/* ------------------------------------------------------------------ what is checked */

static uint64_t word_count(const struct member *member)
{
	return member->ledger->options.payload_bytes / 8;
}

static bool is_whole(const struct member *member, struct shmring_reader *reader, const struct shmring_lease *lease)
{
	const uint64_t *words = shmring_lease_data(reader, lease, 0);
	const uint8_t *tag = shmring_lease_data(reader, lease, 1);

	return payload_is_whole(words, word_count(member)) && (uint32_t)words[PAYLOAD_RING] == lease->sequence &&
	       words[PAYLOAD_BATCH] < atomic_load(&member->ledger->next_batch) && tag[0] == (uint8_t)words[PAYLOAD_RING] &&
	       tag[STORM_ROWS - 1] == (uint8_t)words[PAYLOAD_RING] &&
	       lease->row_count == 1 + (uint32_t)(words[PAYLOAD_RING] % STORM_ROWS) && lease->epoch == member->ledger->generation;
}

/* The number after `ring` that this reader gets. */
static uint64_t step(const struct member *member)
{
	return member->ledger->options.share == SHMRING_LANES ? member->ledger->options.reader_count : 1;
}

/* The first number from claimed_after on that this reader gets. */
static uint64_t first_sure(const struct member *member)
{
	uint64_t lane_count = member->ledger->options.reader_count, ring = member->stay.claimed_after;

	while (member->ledger->options.share == SHMRING_LANES && ring % lane_count != shmring_number(member->stay.reader))
		ring++;
	return ring;
}

static void check_order(struct member *member, const struct kept *taken)
{
	const struct storm_options *options = &member->ledger->options;
	struct stay *stay = &member->stay;
	uint32_t number = shmring_number(stay->reader);

	if (options->share == SHMRING_LANES && taken->ring % options->reader_count != number)
		storm_complain(member->ledger, STORM_DISORDER, "reader %u got batch %" PRIu64 " of another lane", number,
		               taken->ring);
	if (taken->lease.redelivered && (options->share == SHMRING_SPLIT || taken->ring < stay->claimed_after))
		return; /* somebody died with it; it may come at any time */
	if (stay->any && taken->ring <= stay->last)
		storm_complain(member->ledger, STORM_DISORDER, "%" PRIu64 " came after %" PRIu64, taken->ring, stay->last);
	if (options->share == SHMRING_LANES && stay->any && taken->ring != stay->last + step(member))
		storm_complain(member->ledger, STORM_LOST, "in a lane, %" PRIu64 " came after %" PRIu64, taken->ring, stay->last);
	if (options->share != SHMRING_SPLIT && taken->ring >= stay->claimed_after) {
		if (taken->ring != stay->next)
			storm_complain(member->ledger, STORM_LOST, "%" PRIu64 " came where %" PRIu64 " was due", taken->ring,
			               stay->next);
		stay->next = taken->ring + step(member);
	}
	stay->any = true;
	stay->last = taken->ring;
}

/* At an end: whatever was published while we were in the ring was for us. */
static void check_tail(struct member *member)
{
	uint64_t published = atomic_load(&member->ledger->published_ring);

	if (member->ledger->options.share != SHMRING_SPLIT && member->stay.next < published)
		storm_complain(member->ledger, STORM_LOST,
		               "reader %u: %" PRIu64 " were published, but the end came instead of %" PRIu64,
		               shmring_number(member->stay.reader), published, member->stay.next);
}

/* Whether somebody had it before, and may have. */
static void check_repetition(struct member *member, const struct kept *taken, uint32_t times_before)
{
	struct storm_ledger *ledger = member->ledger;
	struct storm_entry *entry = &ledger->entry[taken->batch];

	if (taken->lease.redelivered)
		atomic_fetch_add(&entry->flagged, 1);
	/* In broadcast all who were in the ring get it; those who came later only if none of them will, and then all of them at once. */
	if (times_before == 0 || (ledger->options.share == SHMRING_BROADCAST && taken->ring >= member->stay.published_before))
		return;
	if (ledger->options.share != SHMRING_BROADCAST || atomic_exchange(&entry->repeated, 1) == 0)
		atomic_fetch_add(&ledger->duplicates, 1);
	if (!taken->lease.redelivered)
		storm_complain(ledger, STORM_UNFLAGGED, "batch %" PRIu64 " came again, not flagged; life %u had it before",
		               taken->batch, atomic_load(&entry->taker));
	if (atomic_load(&entry->released) > 0 && !(ledger->options.share == SHMRING_BROADCAST && taken->lease.redelivered))
		storm_complain(ledger, STORM_UNFLAGGED, "batch %" PRIu64 " came again, although life %u had given it back",
		               taken->batch, atomic_load(&entry->taker));
}

/* ------------------------------------------------------------------ taking and giving back */

static uint32_t most_to_keep(struct member *member)
{
	uint32_t hold = shmring_hold(member->stay.reader);

	if (!chance(member, 8))
		return 0;
	return hold < HOLD_LIMIT ? hold : HOLD_LIMIT;
}

static void take(struct member *member, const struct shmring_lease *lease)
{
	struct storm_ledger *ledger = member->ledger;
	const uint64_t *words = shmring_lease_data(member->stay.reader, lease, 0);
	struct kept *taken = &member->kept[member->kept_count];
	struct storm_entry *entry;
	uint32_t times_before;

	progress(member);
	*taken = (struct kept){
		.reader = member->stay.reader, .lease = *lease, .ring = words[PAYLOAD_RING], .batch = words[PAYLOAD_BATCH]};
	member->kept_count++;
	atomic_fetch_add(&member->place->holding, 1);
	if (!is_whole(member, taken->reader, lease)) {
		storm_complain(ledger, STORM_TORN, "sequence %u, rows %u, epoch %u in generation %u: says it is %" PRIu64,
		               lease->sequence, lease->row_count, lease->epoch, ledger->generation, taken->ring);
		taken->batch = STORM_MAX_BATCHES; /* not to be written down */
		return;
	}
	entry = &ledger->entry[taken->batch];
	times_before = atomic_fetch_add(&entry->taken, 1);
	check_repetition(member, taken, times_before);
	atomic_store(&entry->taker, member->place->life);
	atomic_store(&entry->taken_generation, ledger->generation);
	check_order(member, taken);
	atomic_fetch_add(&ledger->deliveries, 1);
	atomic_fetch_add(&member->place->batches, 1);
}

static void give_back(struct member *member, uint32_t index)
{
	struct kept kept = member->kept[index];
	const uint64_t *words = shmring_lease_data(kept.reader, &kept.lease, 0);
	struct storm_entry *entry = kept.batch < STORM_MAX_BATCHES ? &member->ledger->entry[kept.batch] : NULL;
	int rc;

	member->kept[index] = member->kept[--member->kept_count];
	if (entry && (words[PAYLOAD_BATCH] != kept.batch || words[PAYLOAD_RING] != kept.ring ||
	              !payload_is_whole(words, word_count(member))))
		storm_complain(member->ledger, STORM_TORN, "batch %" PRIu64 " was overwritten while it was held", kept.batch);
	if (entry)
		atomic_fetch_add(&entry->finished, 1);
	rc = shmring_release(kept.reader, &kept.lease);
	if (rc < 0)
		storm_complain(member->ledger, STORM_ODD, "release of batch %" PRIu64 ": %s", kept.batch, strerror(-rc));
	else if (entry)
		atomic_fetch_add(&entry->released, 1);
	atomic_fetch_sub(&member->place->holding, 1);
	progress(member);
}

/* Which ones go is chance. */
static void keep_at_most(struct member *member, uint32_t most)
{
	while (member->kept_count > most)
		give_back(member, (uint32_t)(seed_next(&member->random) % member->kept_count));
}

/* ------------------------------------------------------------------ coming and going */

/* Only one place asks for more than a plain loop needs, and for no more than leaves room for the others. */
static struct shmring_wish make_wish(struct member *member)
{
	const struct storm_options *options = &member->ledger->options;
	bool room = options->slot_count >= 2 * options->reader_count + 2;
	struct shmring_wish wish = {.hold = 1, .number = SHMRING_ANY_NUMBER};

	if (chance(member, 4))
		wish.number = (int32_t)member->place_index;
	if (chance(member, 4))
		wish.hold = 0;
	if (member->place_index == 0 && room && chance(member, 2))
		wish.hold = 2;
	return wish;
}

/* No ring, one that is ending, or one that is full for the moment. */
static bool is_expected(int rc)
{
	return rc == -ENOENT || rc == -EBUSY || rc == -EPIPE || rc == -ECONNRESET || rc == -ENOTCONN || rc == -EAGAIN;
}

static int join(struct member *member)
{
	struct storm_ledger *ledger = member->ledger;
	struct shmring_wish wish = make_wish(member);
	struct stay *stay = &member->stay;
	struct err err = {.text = ""};
	int rc;

	atomic_store(&member->place->state, STORM_JOINING);
	*stay = (struct stay){.published_before = atomic_load(&ledger->published_ring)};
	rc = shmring_attach(&stay->reader, ledger->options.ring, &wish, &err);
	if (rc < 0) {
		atomic_store(&member->place->state, STORM_IDLE);
		if (!is_expected(rc))
			storm_complain(ledger, STORM_ODD, "attach: %s (%s)", err.text, strerror(-rc));
		return rc;
	}
	stay->claimed_after = atomic_load(&ledger->claimed_ring);
	stay->next = first_sure(member);
	atomic_store(&member->place->state, STORM_JOINED);
	progress(member);
	return 0;
}

/* What a reader takes along when it leaves counts as read, even if it dies with it. */
static void leave(struct member *member)
{
	if (!chance(member, 4))
		keep_at_most(member, 0);
	for (uint32_t i = 0; i < member->kept_count; i++) {
		if (member->kept[i].batch < STORM_MAX_BATCHES)
			atomic_fetch_add(&member->ledger->entry[member->kept[i].batch].finished, 1);
	}
	shmring_detach(member->stay.reader);
	atomic_store(&member->place->state, STORM_IDLE);
	progress(member);
}

/* Until it feels like leaving (0), the producer is gone (-EPIPE) or all is done (-ENODATA). */
static int stay(struct member *member)
{
	for (;;) {
		struct shmring_lease lease;
		int rc;

		if (chance(member, 2))
			nap(member, HOLD_US); /* so that not every kill finds a batch in hand */
		rc = shmring_acquire(member->stay.reader, ACQUIRE_TIMEOUT_MS, &lease);

		if (rc == -ETIMEDOUT)
			continue;
		if (rc == -EPIPE || rc == -ENODATA)
			check_tail(member);
		else if (rc < 0)
			storm_complain(member->ledger, STORM_ODD, "acquire: %s", strerror(-rc));
		if (rc < 0)
			return rc;
		take(member, &lease);
		if (!chance(member, 4))
			nap(member, chance(member, 16) ? LONG_HOLD_US : HOLD_US);
		keep_at_most(member, most_to_keep(member));
		if (chance(member, STAY_BATCHES))
			return 0;
	}
}

int storm_read(struct storm_ledger *ledger, uint32_t place_index)
{
	struct member member = {.ledger = ledger, .place = &ledger->place[place_index], .place_index = place_index};
	uint32_t failed_joins = 0;
	int rc;

	member.random = ledger->options.seed ^ (uint64_t)member.place->life << 24;
	while (!atomic_load(&ledger->complete)) {
		rc = join(&member);
		if (rc == 0) {
			failed_joins = 0;
			rc = stay(&member);
			leave(&member);
			if (rc == -ENODATA)
				nap(&member, 1000); /* another lane may be without a reader, so we come back */
		} else {
			/* What we took away from our last stay may be what others are waiting for. */
			if (++failed_joins >= JOINS_WITH_HANDS_FULL)
				keep_at_most(&member, 0);
			nap(&member, 1000);
			if (!is_expected(rc))
				break;
		}
	}
	keep_at_most(&member, 0);
	return 0;
}
