/*
 * test_scribble.c - somebody writes nonsense into a slot's word while producer and readers run: every process must end with a
 * clear error, and none may crash or wait for ever.
 *
 * One of the readers does it, in a thread of its own.  A word that the readers themselves could have made of the batch in that
 * slot is no nonsense, and one that the producer overwrites when it commits does no harm: such words are not counted.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "shmring/slot.h"
#include "tests/seed.h"
#include "tests/soak/storm_payload.h"

enum {
	READERS = 3,
	SLOTS = 8,
	WORDS = 512,
	PRODUCER = READERS, /* its place among the processes */
	PROCESSES = READERS + 1,
	WARM_UP_BATCHES = 3,
	HARMLESS_BATCHES = 100, /* each process goes on for so long: nothing came of it */
	LIMIT_MS = 20000,       /* a hang, even on a busy machine; the longest time is printed */
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { WANTED_WORDS = 60 };
#else
enum { WANTED_WORDS = 210 };
#endif

/* Makes a word of what the slot held. */
struct nonsense {
	const char *what;
	uint64_t (*make)(uint64_t old, uint64_t *random);
};

/* What the processes tell each other. */
struct stage {
	enum shmring_share share;
	char ring[SHMRING_NAME_BYTES];
	const struct nonsense *nonsense;
	uint64_t random;
	_Atomic bool go, written, over; /* over: the reader that scribbles has learnt of an end */
	uint64_t old, word;             /* once written */
	_Atomic uint64_t now;           /* and what stands there since */
	_Atomic uint64_t batches[PROCESSES];
};

/* ------------------------------------------------------------------ nonsense */

static uint64_t any_word(uint64_t old, uint64_t *random)
{
	(void)old;
	return seed_next(random);
}

static uint64_t any_low_half(uint64_t old, uint64_t *random)
{
	return (old & ~UINT64_C(0xffffffff)) | (uint32_t)seed_next(random);
}

static uint64_t any_mask(uint64_t old, uint64_t *random)
{
	return slot_word(slot_sequence(old), (uint32_t)seed_next(random), slot_state(old));
}

static uint64_t any_sequence(uint64_t old, uint64_t *random)
{
	return (old & 0xffffffff) | seed_next(random) << 32;
}

static uint64_t nothing(uint64_t old, uint64_t *random)
{
	(void)old, (void)random;
	return 0;
}

static uint64_t all_ones(uint64_t old, uint64_t *random)
{
	(void)old, (void)random;
	return UINT64_MAX;
}

static uint64_t with_state(uint64_t old, uint64_t state)
{
	return (old & ~UINT64_C(0x7f)) | state;
}

static uint64_t becomes_free(uint64_t old, uint64_t *random)
{
	(void)random;
	return with_state(old, LAYOUT_FREE);
}

static uint64_t becomes_filling(uint64_t old, uint64_t *random)
{
	(void)random;
	return with_state(old, LAYOUT_FILLING);
}

static uint64_t becomes_ready(uint64_t old, uint64_t *random)
{
	(void)random;
	return with_state(old, LAYOUT_READY);
}

static uint64_t becomes_held(uint64_t old, uint64_t *random)
{
	(void)random;
	return with_state(old, LAYOUT_HELD);
}

static uint64_t becomes_poison(uint64_t old, uint64_t *random)
{
	(void)random;
	return with_state(old, LAYOUT_POISON);
}

static uint64_t becomes_no_state(uint64_t old, uint64_t *random)
{
	return with_state(old, seed_between(random, LAYOUT_POISON + 1, 0x7f));
}

static uint64_t held_by_a_stranger(uint64_t old, uint64_t *random)
{
	return slot_word(slot_sequence(old), 1u << seed_between(random, READERS, SHMRING_MAX_READERS - 1), LAYOUT_HELD);
}

static uint64_t held_by_two(uint64_t old, uint64_t *random)
{
	(void)random;
	return slot_word(slot_sequence(old), 3, LAYOUT_HELD);
}

static uint64_t held_by_nobody(uint64_t old, uint64_t *random)
{
	(void)random;
	return slot_word(slot_sequence(old), 0, LAYOUT_HELD);
}

static uint64_t ready_for_a_stranger(uint64_t old, uint64_t *random)
{
	return slot_word(slot_sequence(old), 1u << seed_between(random, READERS, SHMRING_MAX_READERS - 1), LAYOUT_READY);
}

static uint64_t seen_flips(uint64_t old, uint64_t *random)
{
	(void)random;
	return old ^ 0x80;
}

static uint64_t next_sequence(uint64_t old, uint64_t *random)
{
	(void)random;
	return old + (UINT64_C(1) << 32);
}

static uint64_t sequence_before(uint64_t old, uint64_t *random)
{
	(void)random;
	return old - (UINT64_C(1) << 32);
}

static uint64_t sequence_opposite(uint64_t old, uint64_t *random)
{
	(void)random;
	return old ^ UINT64_C(1) << 63;
}

static const struct nonsense random_nonsense[] = {
	{"any word", any_word},
	{"any lower half", any_low_half},
	{"any mask", any_mask},
	{"any sequence", any_sequence},
};

static const struct nonsense chosen_nonsense[] = {
	{"0", nothing},
	{"all ones", all_ones},
	{"FREE", becomes_free},
	{"FILLING", becomes_filling},
	{"READY", becomes_ready},
	{"HELD", becomes_held},
	{"POISON", becomes_poison},
	{"no state", becomes_no_state},
	{"HELD by a stranger", held_by_a_stranger},
	{"HELD by two", held_by_two},
	{"HELD by nobody", held_by_nobody},
	{"READY for a stranger", ready_for_a_stranger},
	{"seen flipped", seen_flips},
	{"the next sequence", next_sequence},
	{"the sequence before", sequence_before},
	{"the opposite sequence", sequence_opposite},
};

/* Whether the readers of this test can have made `word` of the batch that the slot holds: nobody can tell it from the truth. */
static bool readers_can_have_made(enum shmring_share share, uint64_t old, uint64_t word)
{
	uint32_t sequence = slot_sequence(old), mask = slot_mask(word), everyone = (1u << READERS) - 1;
	enum layout_state state = slot_state(word);

	if (word == old)
		return true;
	if (slot_state(old) == LAYOUT_FILLING || slot_sequence(word) != sequence)
		return false;
	if (word == slot_word(sequence, 0, LAYOUT_FREE))
		return true;
	switch (share) {
	case SHMRING_SPLIT:
		return word == slot_word(sequence, 0, LAYOUT_READY) ||
		       (word == slot_word(sequence, mask, LAYOUT_HELD) && (mask & ~everyone) == 0 && __builtin_popcount(mask) == 1);
	case SHMRING_LANES:
		return (state == LAYOUT_READY || state == LAYOUT_HELD) &&
		       word == slot_word(sequence, 1u << sequence % READERS, state);
	case SHMRING_BROADCAST: /* seen or not: whoever gives it back next says so */
		return state == LAYOUT_READY && mask != 0 && (mask & ~everyone) == 0;
	}
	return false;
}

/* ------------------------------------------------------------------ the processes: they exit with 0 if the error is a clear one */

static void *scribble(void *argument)
{
	struct stage *stage = ((void **)argument)[0];
	struct shmring_reader *reader = ((void **)argument)[1];
	size_t byte_count;
	struct layout_slot *slots = layout_map((void *)(uintptr_t)shmring_mapping(reader, &byte_count)).slot;
	_Atomic uint64_t *word = &slots[seed_next(&stage->random) % SLOTS].word;

	while (!atomic_load(&stage->go))
		usleep(50);
	stage->word = stage->nonsense->make(atomic_load(word), &stage->random);
	stage->old = atomic_exchange(word, stage->word);
	atomic_store(&stage->now, stage->word);
	atomic_store(&stage->written, true);
	while (!atomic_load(&stage->over)) {
		atomic_store(&stage->now, atomic_load(word));
		usleep(50);
	}
	return NULL;
}

static int serve(struct stage *stage)
{
	const struct shmring_field field = {.name = "payload", .dtype = SHMRING_INT64, .dim_count = 2, .shape = {1, WORDS}};
	const struct shmring_config config = {.name = stage->ring,
	                                      .slot_count = SLOTS,
	                                      .share = stage->share,
	                                      .reader_limit = READERS,
	                                      .fields = &field,
	                                      .field_count = 1,
	                                      .catalog_fd = -1,
	                                      .subject = "a test"};
	struct shmring_producer *producer;
	struct shmring_visitor visitor;
	int rc;

	if (shmring_create(&producer, &config, NULL) < 0 || shmring_door_open(producer, NULL, NULL) < 0)
		return 3;
	do {
		struct shmring_slot slot;

		while (shmring_door_step(producer, &visitor) != SHMRING_NOTHING)
			;
		rc = shmring_claim(producer, 1, &slot);
		if (rc == 0) {
			payload_fill(slot.field[0], WORDS, slot.sequence, 0);
			shmring_commit(producer, &slot, 0, 1);
			atomic_fetch_add(&stage->batches[PRODUCER], 1);
		} else if (rc == -ETIMEDOUT) {
			rc = shmring_audit(producer);
		}
	} while (rc == 0);
	return rc == -EPROTO ? 0 : 4;
}

/* A release may find that the word has changed; what counts is what the next acquire says. */
static int consume(struct stage *stage, uint32_t index)
{
	const struct shmring_wish wish = {.hold = 1, .number = (int32_t)index};
	struct shmring_reader *reader;
	void *scribbler[2] = {stage};
	struct shmring_lease lease;
	pthread_t thread;
	int rc;

	while ((rc = shmring_attach(&reader, stage->ring, &wish, NULL)) == -ENOENT)
		usleep(200);
	if (rc < 0)
		return 3;
	scribbler[1] = reader;
	if (index == 0 && pthread_create(&thread, NULL, scribble, scribbler) != 0)
		return 3;
	do {
		rc = shmring_acquire(reader, 100, &lease);
		if (rc == 0) {
			atomic_fetch_add(&stage->batches[index], 1);
			(void)shmring_release(reader, &lease);
		}
	} while (rc == 0 || rc == -ETIMEDOUT);
	if (index == 0) {
		atomic_store(&stage->over, true);
		pthread_join(thread, NULL);
	}
	if (rc == -EPROTO)
		return 0;
	return rc == -EPIPE && shmring_end_text(reader, (char[256]){0}, 256) == SHMRING_CORRUPTED ? 0 : 4;
}

/* ------------------------------------------------------------------ one word */

static void start(struct stage *stage, pid_t process[PROCESSES])
{
	for (uint32_t i = 0; i < PROCESSES; i++) {
		process[i] = fork();
		assert_return_code(process[i], errno);
		if (process[i] > 0)
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(i == PRODUCER ? serve(stage) : consume(stage, i));
	}
}

static bool all_have(const struct stage *stage, const uint64_t since[PROCESSES], uint64_t batches)
{
	for (int i = 0; i < PROCESSES; i++) {
		if (atomic_load(&stage->batches[i]) < since[i] + batches)
			return false;
	}
	return true;
}

/* Notes down how those that ended did; 0 for a process that has.  How many still run. */
static uint32_t reap(pid_t process[PROCESSES], const char *what, const struct stage *stage)
{
	uint32_t running = 0;

	for (int i = 0; i < PROCESSES; i++) {
		int status;

		if (process[i] != 0 && waitpid(process[i], &status, WNOHANG) == process[i]) {
			process[i] = 0;
			if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
				fail_msg("%s: share %d, word %016llx over %016llx: process %d ended with %s %d", what, stage->share,
				         (unsigned long long)stage->word, (unsigned long long)stage->old, i,
				         WIFEXITED(status) ? "code" : "signal",
				         WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
		}
		running += process[i] != 0;
	}
	return running;
}

static void end_all(pid_t process[PROCESSES])
{
	for (int i = 0; i < PROCESSES; i++) {
		if (process[i] != 0)
			kill(process[i], SIGKILL);
	}
	for (int i = 0; i < PROCESSES; i++) {
		if (process[i] != 0)
			waitpid(process[i], NULL, 0);
	}
}

/* The producer writes to a slot that was free when it looked, and to one that it has filled, whatever stands there. */
static bool is_overwritten(const struct stage *stage)
{
	enum layout_state old = slot_state(stage->old);

	return (old == LAYOUT_FREE || old == LAYOUT_FILLING) && atomic_load(&stage->now) != stage->word;
}

struct tally {
	uint32_t counted, legal, healed;
	uint64_t longest_ms;
};

/* Waits until all have ended, or have gone on for long enough after a word that need not be noticed. */
static void await_end(struct stage *stage, pid_t process[PROCESSES], struct tally *tally)
{
	uint64_t begin_ns = clock_now_ns(), ms = 0, since[PROCESSES];

	while (!atomic_load(&stage->written))
		usleep(50);
	for (int i = 0; i < PROCESSES; i++)
		since[i] = atomic_load(&stage->batches[i]);
	if (readers_can_have_made(stage->share, stage->old, stage->word)) {
		tally->legal++;
		return;
	}
	while (reap(process, stage->nonsense->what, stage) > 0) {
		usleep(100);
		if (is_overwritten(stage) && all_have(stage, since, HARMLESS_BATCHES)) {
			tally->healed++;
			return;
		}
		ms = (clock_now_ns() - begin_ns) / 1000000;
		if (ms > LIMIT_MS) {
			end_all(process);
			fail_msg("%s: share %d, word %016llx over %016llx: not noticed", stage->nonsense->what, stage->share,
			         (unsigned long long)stage->word, (unsigned long long)stage->old);
		}
	}
	tally->counted++;
	tally->longest_ms = ms > tally->longest_ms ? ms : tally->longest_ms;
}

static void try_word(const struct nonsense *nonsense, enum shmring_share share, uint64_t *random, struct tally *tally)
{
	static const uint64_t from_start[PROCESSES];
	struct stage *stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t begin_ns = clock_now_ns();
	pid_t process[PROCESSES];

	assert_ptr_not_equal(stage, MAP_FAILED);
	stage->share = share;
	stage->nonsense = nonsense;
	stage->random = seed_next(random);
	snprintf(stage->ring, sizeof stage->ring, "scribble-%d", getpid());
	start(stage, process);
	while (!all_have(stage, from_start, WARM_UP_BATCHES)) {
		usleep(100);
		assert_true(clock_now_ns() - begin_ns < LIMIT_MS * UINT64_C(1000000));
	}
	usleep((useconds_t)seed_between(random, 0, 1000));
	atomic_store(&stage->go, true);
	await_end(stage, process, tally);
	end_all(process);
	munmap(stage, sizeof *stage);
}

static void try_words(const struct nonsense *nonsense, uint32_t kinds)
{
	const char *given = getenv("CROPRING_TEST_ROUNDS");
	uint32_t wanted = given ? (uint32_t)strtoul(given, NULL, 0) : WANTED_WORDS;
	uint64_t random = seed_of_test("scribble");
	struct tally tally = {0};

	for (uint32_t i = 0; tally.counted < wanted; i++) {
		assert_true(i < 4 * wanted);
		try_word(&nonsense[i / 3 % kinds], (enum shmring_share)(i % 3), &random, &tally);
	}
	printf("scribble: %u words noticed by every process within %llu ms; %u that readers can make, %u overwritten\n",
	       tally.counted, (unsigned long long)tally.longest_ms, tally.legal, tally.healed);
}

static void random_words_end_every_process_with_an_error(void **state)
{
	(void)state;
	try_words(random_nonsense, sizeof random_nonsense / sizeof random_nonsense[0]);
}

static void chosen_lies_end_every_process_with_an_error(void **state)
{
	(void)state;
	try_words(chosen_nonsense, sizeof chosen_nonsense / sizeof chosen_nonsense[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_words_end_every_process_with_an_error),
		cmocka_unit_test(chosen_lies_end_every_process_with_an_error),
	};

	return cmocka_run_group_tests_name("scribble", tests, NULL, NULL);
}
