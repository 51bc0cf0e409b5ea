/*
 * verdict.c - the rule.
 *
 *   1  TOO_SHORT: readers were there for less than half a second, or fewer than 4 batches were made in less than 10 s.
 *   2  What readers waited for their first batch is set apart: that is the start (opening files, filling the pipe), not the speed.
 *   3  Readers waited for 5 % of the rest or more: LOADER_BOUND.  Below that, at most a twentieth could be gained, and pauses of the
 *      machine alone make readers wait 1 or 2 %.  The cause is what decode threads did while readers waited:
 *        nothing, for a quarter of that time or more: they were not too slow.
 *          batches come when they are asked for: REQUESTS.  A reader that hardly waits while those that share batches with it do:
 *          SLOW_READER.  Else SLOTS: both sides wait by turns.
 *        without bytes that were on their way, for a quarter or more: READ.
 *        else they decoded.  CPU if there are as many threads as CPUs, or they get less than 70 % of the CPU time that they
 *          want, because others have it; else DECODE.
 *      A quarter: where decoding is the slowest stage, files that are read wait for a thread, and threads lack rows for less than 1 %
 *      of the time (measured with one and two of them); where it is not, for as much as it is faster.  Threads that lack rows for a
 *      quarter would lack them for longer if they were more.
 *   4  They waited less, but 5 % or more of all for their first batches: LOADER_BOUND, START.
 *   5  Decode threads had nothing to do for so much of their time that 1.1 times as many batches could be made: TRAINER_BOUND.
 *   6  Else BALANCED.
 */
#include "base/verdict.h"

#include <stdio.h>
#include <string.h>

#define LEAST_NS      500000000.0
#define LEAST_BATCHES 4
#define PATIENCE_NS   10000000000.0
#define WAITS         0.05
#define LACKS_ROWS    0.25
#define GETS_CPU      0.70
#define HAS_HEADROOM  1.10
#define MOST_HEADROOM 100.0
#define HOLDS_UP      0.25 /* a reader is slow when it waits for less than a quarter of what the one that waits most does */

/* ------------------------------------------------------------------ readings */

#define COUNTER(name)                                                                                                              \
	{                                                                                                                          \
#name, offsetof(struct verdict_reading, name)                                                                      \
	}

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
	COUNTER(batches),        COUNTER(elapsed_ns),       COUNTER(reader_ns),      COUNTER(reader_wait_ns),
	COUNTER(start_wait_ns),  COUNTER(waited_decode_ns), COUNTER(waited_read_ns), COUNTER(waited_idle_ns),
	COUNTER(decode_busy_ns), COUNTER(decode_wait_ns),   COUNTER(decode_idle_ns), COUNTER(fetch_ns),
	COUNTER(decode_ns),      COUNTER(shape_ns),         COUNTER(threads),        COUNTER(cpus),
	COUNTER(requests),
};

enum { COUNTER_COUNT = sizeof counters / sizeof counters[0] };

static uint64_t *counter_at(const struct verdict_reading *reading, size_t offset)
{
	return (uint64_t *)((char *)(uintptr_t)reading + offset);
}

void verdict_set_counter(struct verdict_reading *reading, const char *name, uint64_t value)
{
	for (int i = 0; i < COUNTER_COUNT; i++) {
		if (strcmp(counters[i].name, name) == 0)
			*counter_at(reading, counters[i].offset) = value;
	}
}

static bool is_of_another_worker(const struct verdict_reading *before, const struct verdict_reading *after)
{
	return after->batches < before->batches || after->elapsed_ns < before->elapsed_ns || after->decode_ns < before->decode_ns ||
	       after->decode_busy_ns < before->decode_busy_ns;
}

static uint64_t since(uint64_t before, uint64_t after)
{
	return after > before ? after - before : 0;
}

/* What is counted is told for the time between, what is a state as it was after. */
static struct verdict_reading take_difference(const struct verdict_reading *before, const struct verdict_reading *after)
{
	static const struct verdict_reading start;
	struct verdict_reading between = *after;

	if (is_of_another_worker(before, after))
		before = &start;
	for (int i = 0; i < COUNTER_COUNT; i++) {
		size_t offset = counters[i].offset;

		*counter_at(&between, offset) = since(*counter_at(before, offset), *counter_at(after, offset));
	}
	between.threads = after->threads;
	between.cpus = after->cpus;
	between.requests = after->requests;

	between.reader_count = 0;
	for (uint32_t i = 0; i < after->reader_count && i < VERDICT_MAX_READERS; i++) {
		struct verdict_reader reader = after->reader[i];
		bool is_known = before == &start || before->reader_count == 0;

		for (uint32_t k = 0; k < before->reader_count && k < VERDICT_MAX_READERS; k++) {
			const struct verdict_reader *past = &before->reader[k];

			if (past->number != reader.number)
				continue;
			reader.present_ns = since(past->present_ns, reader.present_ns);
			reader.wait_ns = since(past->wait_ns, reader.wait_ns);
			reader.start_wait_ns = since(past->start_wait_ns, reader.start_wait_ns);
			is_known = true;
		}
		if (is_known) /* else it came meanwhile, and its times are of all who ever had its number */
			between.reader[between.reader_count++] = reader;
	}
	return between;
}

/* ------------------------------------------------------------------ shares */

static double ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

static double percent(double share)
{
	return 100 * (share < 1 ? share : 1);
}

/* Of the time after its first batch. */
static double waiting_share(uint64_t present_ns, uint64_t wait_ns, uint64_t start_wait_ns)
{
	double share = ratio((double)since(start_wait_ns, wait_ns), (double)since(start_wait_ns, present_ns));

	return share < 1 ? share : 1;
}

/* ------------------------------------------------------------------ one reader among others */

/* After its first batch. */
static uint64_t waited_ns(const struct verdict_reader *reader)
{
	return since(reader->start_wait_ns, reader->wait_ns);
}

/* What readers are compared with: who was there for longest, and who waited most. */
struct extremes {
	uint64_t present_ns, waited_ns;
};

static struct extremes find_extremes(const struct verdict_reading *between)
{
	struct extremes most = {0};

	for (uint32_t i = 0; i < between->reader_count; i++) {
		const struct verdict_reader *reader = &between->reader[i];

		most.present_ns = reader->present_ns > most.present_ns ? reader->present_ns : most.present_ns;
		most.waited_ns = waited_ns(reader) > most.waited_ns ? waited_ns(reader) : most.waited_ns;
	}
	return most;
}

/* The place whose reader waits least, if that is little beside what another waits; NULL: none stands out. */
static const struct verdict_reader *find_slow_reader(const struct verdict_reading *between, const struct extremes *most)
{
	const struct verdict_reader *least = NULL;
	double least_share = 0, most_share = 0;

	for (uint32_t i = 0; i < between->reader_count; i++) {
		const struct verdict_reader *reader = &between->reader[i];
		/* in lanes others wait for a number whether or not anybody has it */
		uint64_t there_ns = between->has_lanes ? most->present_ns : reader->present_ns;
		double share = waiting_share(there_ns, reader->wait_ns, reader->start_wait_ns);

		if (share > most_share)
			most_share = share;
		if (there_ns <= most->waited_ns / 2) /* nobody holds up others for longer than it is there */
			continue;
		if (!least || share < least_share) {
			least = reader;
			least_share = share;
		}
	}
	return between->is_shared && most_share >= WAITS && least_share < most_share * HOLDS_UP ? least : NULL;
}

static void blame_reader(struct verdict *verdict, const struct verdict_reading *between, const struct verdict_reader *reader,
                         const struct extremes *most)
{
	uint64_t absent_ns = since(reader->present_ns, most->present_ns);
	double share = percent(verdict->reader_share);

	verdict->cause = VERDICT_SLOW_READER;
	verdict->reader = (int)reader->number;
	if (between->has_lanes && reader->present_ns == 0)
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer waits for loader: nobody reads the batches of number %u, and the others wait %.0f %% of the time "
		         "for theirs; start that reader, or fewer --readers",
		         reader->number, share);
	else if (between->has_lanes && absent_ns >= most->waited_ns / 2)
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer waits for loader: for %.1f s nobody read the batches of number %u, and readers wait %.0f %% of "
		         "the "
		         "time; all readers are to come and go together",
		         (double)absent_ns / 1e9, reader->number, share);
	else if (reader->pid == 0)
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer waits for loader: reader %u, which has left, was the slowest and held up the others; the loader "
		         "had nothing to do meanwhile, and readers waited %.0f %% of the time",
		         reader->number, share);
	else
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer waits for loader: reader %u (process %d) is the slowest and holds up the others; the loader has "
		         "nothing to do meanwhile, and readers wait %.0f %% of the time",
		         reader->number, reader->pid, share);
}

/* ------------------------------------------------------------------ causes */

/* Readers waited while decode threads had nothing to do. */
static void blame_what_lies_between(struct verdict *verdict, const struct verdict_reading *between)
{
	const struct extremes most = find_extremes(between);
	const struct verdict_reader *slow = find_slow_reader(between, &most);
	double share = percent(verdict->reader_share);
	char slots[48] = "";

	if (between->requests != 0) {
		verdict->cause = VERDICT_REQUESTS;
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer waits for loader: batches are asked for when they are needed, %.0f %% of the time goes by "
		         "waiting; ask ahead "
		         "(Cropper.submit(), a sampler)",
		         share);
		return;
	}
	if (slow) {
		blame_reader(verdict, between, slow, &most);
		return;
	}
	verdict->cause = VERDICT_SLOTS;
	if (between->slot_count > 0)
		snprintf(slots, sizeof slots, " (now %u)", between->slot_count);
	snprintf(verdict->sentence, sizeof verdict->sentence,
	         "trainer waits for loader: %.0f %% of the time, and at other times the loader has nothing to do: more batches "
	         "between them "
	         "even that out, --slots%s",
	         share, slots);
}

static void blame_reading(struct verdict *verdict, const struct verdict_reading *between)
{
	double reading_share = ratio((double)between->fetch_ns, (double)between->elapsed_ns);
	double share = percent(verdict->reader_share);

	verdict->cause = VERDICT_READ;
	if (reading_share >= GETS_CPU)
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer waits for loader: opening and reading files is the slowest stage (%.1f CPUs are busy with it); "
		         "pack them "
		         "(cropring pack); it waits %.0f %% of the time",
		         reading_share, share);
	else
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer waits for loader: reading is the slowest stage, decode threads wait for the disk or network; a "
		         "faster "
		         "one, or a pack (cropring pack), of which less is read, in longer stretches; it waits %.0f %% of the time",
		         share);
}

static void blame_decoding(struct verdict *verdict, const struct verdict_reading *between)
{
	/* more threads than CPUs want no more than these can give */
	double can_get = between->threads > between->cpus ? ratio((double)between->cpus, (double)between->threads) : 1;
	double wanted_ns = (double)between->decode_busy_ns * can_get;
	double cpu_share = ratio((double)(between->decode_ns + between->shape_ns), wanted_ns);
	unsigned long long threads = between->threads, cpus = between->cpus;
	double share = percent(verdict->reader_share);

	if (wanted_ns > 0 && cpu_share < GETS_CPU) {
		verdict->cause = VERDICT_CPU;
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer waits for loader: decode threads get %.0f %% of the CPU time that they want, for others run on "
		         "the %llu "
		         "CPU%s too; it waits %.0f %% of the time",
		         percent(cpu_share), cpus, cpus == 1 ? "" : "s", share);
	} else if (threads >= cpus) {
		verdict->cause = VERDICT_CPU;
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer waits for loader: decode keeps all %llu CPU%s busy; a pack (cropring pack), smaller pictures, "
		         "--fidelity "
		         "fast or more CPUs help; it waits %.0f %% of the time",
		         cpus, cpus == 1 ? "" : "s", share);
	} else {
		verdict->cause = VERDICT_DECODE;
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer waits for loader: decode is the slowest stage, add threads (--threads %llu, now %llu); it waits "
		         "%.0f %% of "
		         "the time",
		         cpus, threads, share);
	}
}

static void find_cause(struct verdict *verdict, const struct verdict_reading *between)
{
	double idle_ns = (double)between->waited_idle_ns, read_ns = (double)between->waited_read_ns;
	double all_ns = idle_ns + read_ns + (double)between->waited_decode_ns;

	if (idle_ns >= LACKS_ROWS * all_ns && idle_ns >= read_ns && idle_ns > 0)
		blame_what_lies_between(verdict, between);
	else if (read_ns >= LACKS_ROWS * all_ns && read_ns > 0)
		blame_reading(verdict, between);
	else
		blame_decoding(verdict, between);
}

/* ------------------------------------------------------------------ the verdict */

/* 1.  True: there is nothing more to say. */
static bool is_too_short(struct verdict *verdict, const struct verdict_reading *between)
{
	uint64_t shorter_ns = between->reader_ns < between->elapsed_ns ? between->reader_ns : between->elapsed_ns;
	double seen_ns = (double)shorter_ns;

	if (between->reader_ns == 0)
		snprintf(verdict->sentence, sizeof verdict->sentence, "no reader was there: nobody waited");
	else if (seen_ns >= LEAST_NS && (between->batches >= LEAST_BATCHES || seen_ns >= PATIENCE_NS))
		return false;
	else
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "too short to tell who waits for whom: %llu batch%s in %.1f s", (unsigned long long)between->batches,
		         between->batches == 1 ? "" : "es", seen_ns / 1e9);
	return true;
}

void verdict_judge(const struct verdict_reading *before, const struct verdict_reading *after, struct verdict *verdict)
{
	struct verdict_reading between = take_difference(before, after);
	double idle_ns = (double)between.decode_idle_ns;
	double thread_ns = (double)(between.decode_busy_ns + between.decode_wait_ns) + idle_ns;
	double headroom = ratio(thread_ns, thread_ns - idle_ns);

	*verdict = (struct verdict){
		.kind = VERDICT_TOO_SHORT,
		.reader_share = waiting_share(between.reader_ns, between.reader_wait_ns, between.start_wait_ns),
		.start_share = ratio((double)between.start_wait_ns, (double)between.reader_ns),
		.idle_share = ratio(idle_ns, thread_ns),
		.headroom = 1,
		.reader = -1,
	};
	if (is_too_short(verdict, &between))
		return;
	if (verdict->reader_share >= WAITS) {
		verdict->kind = VERDICT_LOADER_BOUND;
		find_cause(verdict, &between);
	} else if (verdict->start_share >= WAITS) {
		verdict->kind = VERDICT_LOADER_BOUND;
		verdict->cause = VERDICT_START;
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer waits for loader: at the start only, %.1f s for its first batch, and %.0f %% of the time since "
		         "then",
		         (double)between.start_wait_ns / 1e9, percent(verdict->reader_share));
	} else if (headroom >= HAS_HEADROOM || (idle_ns > 0 && headroom == 0)) {
		verdict->kind = VERDICT_TRAINER_BOUND;
		verdict->headroom = headroom > 0 && headroom < MOST_HEADROOM ? headroom : MOST_HEADROOM;
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "loader waits for trainer: nothing to gain here (the loader could make %s%.1f times as many batches)",
		         verdict->headroom < MOST_HEADROOM ? "" : "over ", verdict->headroom);
	} else {
		verdict->kind = VERDICT_BALANCED;
		snprintf(verdict->sentence, sizeof verdict->sentence,
		         "trainer and loader keep pace: the trainer waits %.0f %% of the time, and the loader has nothing to spare",
		         percent(verdict->reader_share));
	}
}

const char *verdict_kind_name(enum verdict_kind kind)
{
	static const char *const names[] = {"too-short", "loader-bound", "trainer-bound", "balanced"};

	return names[kind];
}

const char *verdict_cause_name(enum verdict_cause cause)
{
	static const char *const names[] = {"", "decode", "cpu", "read", "slow-reader", "slots", "start", "requests"};

	return names[cause];
}
