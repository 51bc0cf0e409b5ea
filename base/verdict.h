/*
 * verdict.h - who waits for whom: two readings of a ring's counters in, one word and one sentence out.
 *
 * Knows neither ring nor images: what it judges are times.  A reading is filled in by the counters' names, so that the worker and the
 * Python package, which get them from different places, share one table and one rule.
 */
#ifndef CROPRING_VERDICT_H
#define CROPRING_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VERDICT_MAX_READERS = 24 };

/* What is known of one reader; times in nanoseconds since it, or whoever had its number before, came. */
struct verdict_reader {
	uint32_t number;
	int32_t pid; /* 0: nobody has this number now */
	uint64_t present_ns, wait_ns, start_wait_ns;
};

/* All zero is the start. */
struct verdict_reading {
	/* by verdict_set_counter() */
	uint64_t batches, elapsed_ns;
	uint64_t reader_ns, reader_wait_ns, start_wait_ns;         /* summed over readers: there; waited; for their first batch */
	uint64_t waited_decode_ns, waited_read_ns, waited_idle_ns; /* the rest of their waiting, by what decode threads did */
	uint64_t decode_busy_ns, decode_wait_ns, decode_idle_ns; /* summed over decode threads: had a row; lacked bytes; neither */
	uint64_t fetch_ns, decode_ns, shape_ns;                  /* CPU time of these stages */
	uint64_t threads, cpus, requests;

	/* by its owner */
	bool is_shared;      /* each batch is for one certain reader, or for all: lanes, broadcast */
	bool has_lanes;      /* a batch waits for its number even while nobody has that */
	uint32_t slot_count; /* 0: not known */
	uint32_t reader_count;
	struct verdict_reader reader[VERDICT_MAX_READERS];
};

enum verdict_kind { VERDICT_TOO_SHORT, VERDICT_LOADER_BOUND, VERDICT_TRAINER_BOUND, VERDICT_BALANCED };

/* Of LOADER_BOUND. */
enum verdict_cause {
	VERDICT_NONE,
	VERDICT_DECODE,      /* too few threads: more CPUs could be used */
	VERDICT_CPU,         /* all CPUs are busy */
	VERDICT_READ,        /* the disk, the network, or the one thread that reads */
	VERDICT_SLOW_READER, /* one reader holds up the others */
	VERDICT_SLOTS,       /* both wait by turns: too few batches lie between them */
	VERDICT_START,       /* for the first batches alone */
	VERDICT_REQUESTS,    /* each batch is asked for when it is needed */
};

struct verdict {
	enum verdict_kind kind;
	enum verdict_cause cause;
	double reader_share; /* of the time that readers were there they waited, not counting for their first batches */
	double start_share;  /* and for those */
	double idle_share;   /* of the decode threads' time, with nothing to do */
	double headroom;     /* TRAINER_BOUND: how many times as many batches the loader could make; else 1 */
	int reader;          /* SLOW_READER: its number; else -1 */
	char sentence[384];
};

/* Takes the counters that the rule needs, by their names, and leaves the others. */
void verdict_set_counter(struct verdict_reading *reading, const char *name, uint64_t value);

/* What happened from `before` to `after`.  If something counts less after than before, another worker has begun: then since its start. */
void verdict_judge(const struct verdict_reading *before, const struct verdict_reading *after, struct verdict *verdict);

const char *verdict_kind_name(enum verdict_kind kind); /* "too-short", "loader-bound", "trainer-bound", "balanced" */
const char *
verdict_cause_name(enum verdict_cause cause); /* "", "decode", "cpu", "read", "slow-reader", "slots", "start", "requests" */

#endif
