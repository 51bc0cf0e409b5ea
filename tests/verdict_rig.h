/* verdict_rig.h - situations in words: a run of some seconds, readers in it, and what is to be said of it. */
#ifndef VERDICT_RIG_H
#define VERDICT_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/verdict.h"

/* A run of some seconds, in milliseconds, of which a test says only what is remarkable. */
struct run {
	uint64_t batches, present, wait, start_wait; /* of all readers together */
	uint64_t while_decoding, while_reading, while_idle;
	uint64_t decode, hungry, idle; /* of all decode threads together */
	uint64_t cpu, fetch, elapsed;  /* 0: as much as decode; nothing; as present; cpu: what of decode they got */
	uint64_t threads, cpus;        /* 0: 4 */
	bool shared, lanes, requests;
};

static const struct verdict_reading start;

static inline uint64_t ns(uint64_t ms)
{
	return ms * 1000000;
}

static inline struct verdict_reading reading_of(const struct run *run)
{
	struct verdict_reading reading = {
		.batches = run->batches,
		.elapsed_ns = ns(run->elapsed ? run->elapsed : run->present),
		.reader_ns = ns(run->present),
		.reader_wait_ns = ns(run->wait),
		.start_wait_ns = ns(run->start_wait),
		.waited_decode_ns = ns(run->while_decoding),
		.waited_read_ns = ns(run->while_reading),
		.waited_idle_ns = ns(run->while_idle),
		.decode_busy_ns = ns(run->decode),
		.decode_wait_ns = ns(run->hungry),
		.decode_idle_ns = ns(run->idle),
		.fetch_ns = ns(run->fetch),
		.decode_ns = ns(run->cpu ? run->cpu : run->decode),
		.threads = run->threads ? run->threads : 4,
		.cpus = run->cpus ? run->cpus : 4,
		.is_shared = run->shared,
		.has_lanes = run->lanes,
		.requests = run->requests,
		.slot_count = 8,
	};

	return reading;
}

static inline void add_reader(struct verdict_reading *reading, int32_t pid, uint64_t present_ms, uint64_t wait_ms)
{
	uint32_t number = reading->reader_count++;

	reading->reader[number] =
		(struct verdict_reader){.number = number, .pid = pid, .present_ns = ns(present_ms), .wait_ns = ns(wait_ms)};
}

static inline struct verdict judge(const struct verdict_reading *before, const struct verdict_reading *after)
{
	struct verdict verdict;

	verdict_judge(before, after, &verdict);
	assert_true(strlen(verdict.sentence) > 20 && strlen(verdict.sentence) < sizeof verdict.sentence - 1);
	assert_true(verdict.reader_share >= 0 && verdict.reader_share <= 1 && verdict.headroom >= 1);
	if (verdict.kind == VERDICT_LOADER_BOUND)
		assert_ptr_equal(strstr(verdict.sentence, "trainer waits for loader: "), verdict.sentence);
	if (verdict.kind == VERDICT_TRAINER_BOUND)
		assert_ptr_equal(strstr(verdict.sentence, "loader waits for trainer: nothing to gain here"), verdict.sentence);
	assert_int_equal(verdict.kind == VERDICT_LOADER_BOUND, verdict.cause != VERDICT_NONE);
	return verdict;
}

static inline struct verdict judge_run(const struct run *run)
{
	const struct verdict_reading end = reading_of(run);

	return judge(&start, &end);
}

static inline void assert_says(const struct verdict *verdict, enum verdict_kind kind, enum verdict_cause cause, const char *words)
{
	if (verdict->kind != kind || verdict->cause != cause || !strstr(verdict->sentence, words))
		fail_msg("%s %s: %s", verdict_kind_name(verdict->kind), verdict_cause_name(verdict->cause), verdict->sentence);
}

#endif
