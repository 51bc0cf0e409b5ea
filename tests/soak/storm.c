/*
 * storm.c - processes of a ring are killed at random microseconds, and nothing may be torn, lost, delivered twice without a flag,
 * out of order, hung or left behind.  Somebody looks on all the while, is killed or stopped now and then, and may change nothing.
 *
 *   storm --kill reader|producer|mixed|group|stop [--share split|lanes|broadcast] [--kills N] [--readers 3] [--slots 8] [--seed S]
 *         [--start N] [--payload-kb 16] [--hang-ms 2000] [--kept-percent 80] [--shmem]
 *
 * One summary line on stdout; exit code 1 on any violation, with the first one's sentence on stderr.
 *
 *   reader     one reader at a time        mixed   readers and, one time in five, the producer
 *   producer   the producer                group   the whole process group, supervisor included
 *   stop       nobody: a reader that holds a batch is stopped for 200 ms, and in split the others keep --kept-percent of their rate
 *
 * --start is the ring's first batch number; --shmem also compares Shmem of /proc/meminfo, which other programs change as well.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/seed.h"
#include "tests/soak/storm_leftovers.h"
#include "tests/soak/storm_supervisor.h"

enum {
	KILL_SPREAD_US = 5000,
	GROUP_LIFE_US = 40000,
	STOP_US = 200000,
	JUST_JOINED_US = 100,
	JOIN_LIMIT_US = 50000,
	LEFTOVER_LIMIT_MS = 5000,
	SHMEM_TOLERANCE_KB = 2048,
};

enum storm_kind { KILL_READER, KILL_PRODUCER, KILL_MIXED, KILL_GROUP, KILL_STOP };

static const char *const kind_names[] = {"reader", "producer", "mixed", "group", "stop", NULL};
static const char *const share_names[] = {"split", "lanes", "broadcast", NULL};

struct storm {
	struct storm_options options;
	enum storm_kind kind;
	uint32_t kill_count, hang_ms, kept_percent;
	bool check_shmem;

	/* the sums of all ledgers */
	uint32_t kills, kills_of_observers, kills_within, fault[STORM_FAULT_COUNT]; /* within: single processes of groups */
	uint64_t batches, deliveries, duplicates;
	uint64_t rate_before, rate_during; /* stop: batches that the others got in windows of equal length */
	char complaint[256];
};

/* ------------------------------------------------------------------ the kinds of storm */

static uint32_t any_place(struct supervisor *supervisor)
{
	return (uint32_t)(seed_next(&supervisor->random) % supervisor->ledger->options.reader_count);
}

/* At any moment, or just when the youngest reader has joined. */
static bool kill_some_reader(struct supervisor *supervisor)
{
	struct storm_place *youngest = &supervisor->ledger->place[supervisor->youngest];
	uint64_t begin_ns = clock_now_ns();

	if (seed_next(&supervisor->random) % 8 > 0) {
		if (!supervisor_watch_us(supervisor, seed_between(&supervisor->random, 0, KILL_SPREAD_US)))
			return false;
		supervisor_replace_reader(supervisor, any_place(supervisor));
		return true;
	}
	while (atomic_load(&youngest->state) != STORM_JOINED && clock_now_ns() - begin_ns < JOIN_LIMIT_US * UINT64_C(1000))
		sched_yield();
	usleep((useconds_t)seed_between(&supervisor->random, 0, JUST_JOINED_US));
	supervisor_replace_reader(supervisor, supervisor->youngest);
	return supervisor_watch(supervisor);
}

/* While it sets up, or after it has served a while. */
static bool kill_producer(struct supervisor *supervisor, bool kill_readers)
{
	uint64_t deliveries = atomic_load(&supervisor->ledger->deliveries);

	while (seed_next(&supervisor->random) % 4 > 0 && atomic_load(&supervisor->ledger->deliveries) == deliveries) {
		if (!supervisor_watch_us(supervisor, KILL_SPREAD_US / 2))
			return false;
	}
	if (!supervisor_watch_us(supervisor, seed_between(&supervisor->random, 0, KILL_SPREAD_US)))
		return false;
	supervisor_replace_producer(supervisor, kill_readers);
	return supervisor_watch(supervisor);
}

static uint64_t batches_of_others(const struct supervisor *supervisor, uint32_t but)
{
	uint64_t sum = 0;

	for (uint32_t place = 0; place < supervisor->ledger->options.reader_count; place++)
		sum += place == but ? 0 : atomic_load(&supervisor->ledger->place[place].batches);
	return sum;
}

/* Stops the reader at `place` while it holds a batch. */
static bool stop_while_holding(struct supervisor *supervisor, uint32_t place)
{
	pid_t reader = supervisor->reader[place];

	while (supervisor_watch(supervisor)) {
		kill(reader, SIGSTOP);
		if (waitpid(reader, NULL, WUNTRACED) == reader && atomic_load(&supervisor->ledger->place[place].holding) > 0)
			return true;
		kill(reader, SIGCONT);
		usleep(100);
	}
	return false;
}

static bool stop_some_reader(struct storm *storm, struct supervisor *supervisor)
{
	uint32_t place = any_place(supervisor);
	uint64_t begin = batches_of_others(supervisor, place), stopped, end;

	if (!supervisor_watch_us(supervisor, STOP_US))
		return false;
	stopped = batches_of_others(supervisor, place);
	storm->rate_before += stopped - begin;
	if (!stop_while_holding(supervisor, place))
		return false;
	stopped = batches_of_others(supervisor, place);
	usleep(STOP_US);
	end = batches_of_others(supervisor, place);
	storm->rate_during += end - stopped;
	kill(supervisor->reader[place], SIGCONT); /* a release that is refused is the reader's complaint */
	supervisor->kills++;
	return supervisor_watch(supervisor);
}

static bool strike(struct storm *storm, struct supervisor *supervisor)
{
	if (seed_next(&supervisor->random) % 4 == 0)
		supervisor_replace_observer(supervisor);
	switch (storm->kind) {
	case KILL_PRODUCER:
		return kill_producer(supervisor, false);
	case KILL_MIXED:
		if (seed_next(&supervisor->random) % 5 == 0)
			return kill_producer(supervisor, true);
		return kill_some_reader(supervisor);
	case KILL_STOP:
		return stop_some_reader(storm, supervisor);
	case KILL_READER:
	case KILL_GROUP:
		break;
	}
	return kill_some_reader(supervisor);
}

static void add_up(struct storm *storm, struct storm_ledger *ledger)
{
	if (storm->complaint[0] == '\0')
		memcpy(storm->complaint, ledger->complaint, sizeof storm->complaint);
	for (int i = 0; i < STORM_FAULT_COUNT; i++)
		storm->fault[i] += atomic_load(&ledger->fault[i]);
	storm->batches += atomic_load(&ledger->next_batch);
	storm->kills_within += atomic_load(&ledger->kills);
	storm->deliveries += atomic_load(&ledger->deliveries);
	storm->duplicates += atomic_load(&ledger->duplicates);
}

/* Kills processes in a ledger's world until kill_count, or, in a group, until the end of its own. */
static void supervise(struct storm *storm, struct storm_ledger *ledger, uint32_t kill_count)
{
	struct supervisor supervisor = {
		.ledger = ledger, .random = ledger->options.seed, .hang_limit_ns = storm->hang_ms * UINT64_C(1000000)};

	supervisor_start(&supervisor);
	while (supervisor.kills < kill_count && strike(storm, &supervisor))
		;
	if (storm_fault_count(ledger) == 0)
		supervisor_finish(&supervisor);
	supervisor_clear(&supervisor);
	storm->kills += supervisor.kills;
	storm->kills_of_observers += supervisor.kills_of_observers;
	if (storm->kind == KILL_STOP && ledger->options.share == SHMRING_SPLIT &&
	    storm->rate_during * 100 < storm->rate_before * storm->kept_percent)
		storm_complain(ledger, STORM_HANG, "beside a stopped reader the others got %" PRIu64 " batches, before %" PRIu64,
		               storm->rate_during, storm->rate_before);
}

/* One supervisor with all its processes, in a group of their own that is killed at once. */
static void kill_one_group(struct storm *storm, struct storm_ledger *ledger, uint64_t life_us)
{
	pid_t group = fork();

	if (group == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0);
		supervise(storm, ledger, UINT32_MAX);
		_exit(0);
	}
	setpgid(group, group);
	usleep((useconds_t)life_us);
	kill(-group, SIGKILL);
	storm->kills++;
	while (waitpid(-1, NULL, 0) > 0) /* also its children, which are ours now */
		;
	if (errno != ECHILD)
		storm_complain(ledger, STORM_LEFTOVER, "waiting for the group's processes: %s", strerror(errno));
}

/* ------------------------------------------------------------------ one storm */

static struct storm_ledger *open_ledger(const struct storm_options *options)
{
	struct storm_ledger *ledger = storm_ledger_open(options);

	if (!ledger) {
		fprintf(stderr, "storm: no memory for the ledger\n");
		exit(2);
	}
	return ledger;
}

static void run_groups(struct storm *storm)
{
	struct storm_options options = storm->options;
	uint64_t random = options.seed;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	while (storm->kills < storm->kill_count && storm->complaint[0] == '\0') {
		struct storm_ledger *ledger;

		options.seed = seed_next(&random);
		ledger = open_ledger(&options);
		kill_one_group(storm, ledger, seed_between(&random, 0, GROUP_LIFE_US));
		if (leftovers_sockets(options.ring) > 0)
			storm_complain(ledger, STORM_LEFTOVER, "somebody still listens as %s", options.ring);
		add_up(storm, ledger);
		storm_ledger_close(ledger);
	}
}

static void run_single(struct storm *storm)
{
	struct storm_ledger *ledger = open_ledger(&storm->options);

	supervise(storm, ledger, storm->kill_count);
	add_up(storm, ledger);
	storm_ledger_close(ledger);
}

/* Other programs use the machine as well: what vanishes within a while is not ours. */
static void count_leftovers(struct storm *storm, uint32_t entries_before, uint64_t shmem_before_kb)
{
	uint64_t limit_ns = clock_now_ns() + LEFTOVER_LIMIT_MS * UINT64_C(1000000), shmem_kb = 0;
	uint32_t entries = 0, sockets = 0;
	bool more = true;

	while (more) {
		entries = leftovers_shm_entries();
		entries = entries > entries_before ? entries - entries_before : 0;
		sockets = leftovers_sockets(storm->options.ring);
		shmem_kb = storm->check_shmem ? leftovers_shmem_kb() : 0;
		shmem_kb = shmem_kb > shmem_before_kb + SHMEM_TOLERANCE_KB ? shmem_kb - shmem_before_kb : 0;
		more = entries + sockets + shmem_kb > 0 && clock_now_ns() < limit_ns;
		if (more)
			usleep(10000);
	}
	storm->fault[STORM_LEFTOVER] += entries + sockets + (shmem_kb > 0);
	if (entries + sockets + shmem_kb > 0 && storm->complaint[0] == '\0')
		snprintf(storm->complaint, sizeof storm->complaint,
		         "left behind: %u entries in /dev/shm, %u sockets, %" PRIu64 " kB of shared memory", entries, sockets,
		         shmem_kb);
}

static int run(struct storm *storm)
{
	uint64_t shmem_kb = leftovers_shmem_kb(), begin_ns = clock_now_ns();
	uint32_t entries, faults = 0;

	leftovers_isolate();
	entries = leftovers_shm_entries();
	if (storm->kind == KILL_GROUP)
		run_groups(storm);
	else
		run_single(storm);
	count_leftovers(storm, entries, shmem_kb);
	printf("storm %s %s: kills %u batches %" PRIu64 " deliveries %" PRIu64 " torn %u lost %u duplicates %" PRIu64
	       " (unflagged %u) disorder %u hangs %u odd %u leftovers %u",
	       share_names[storm->options.share], kind_names[storm->kind], storm->kills, storm->batches, storm->deliveries,
	       storm->fault[STORM_TORN], storm->fault[STORM_LOST], storm->duplicates, storm->fault[STORM_UNFLAGGED],
	       storm->fault[STORM_DISORDER], storm->fault[STORM_HANG], storm->fault[STORM_ODD], storm->fault[STORM_LEFTOVER]);
	if (storm->kills_of_observers > 0)
		printf(", observers killed or stopped %u", storm->kills_of_observers);
	if (storm->kind == KILL_GROUP)
		printf(", within the groups kills %u", storm->kills_within);
	if (storm->rate_before > 0)
		printf(", others kept %" PRIu64 " %%", storm->rate_during * 100 / storm->rate_before);
	printf(", %.1f s, seed %" PRIu64 "\n", (double)(clock_now_ns() - begin_ns) / 1e9, storm->options.seed);
	if (storm->complaint[0] != '\0')
		fprintf(stderr, "storm: %s\n", storm->complaint);
	for (int i = 0; i < STORM_FAULT_COUNT; i++)
		faults += storm->fault[i];
	return faults == 0 && storm->kills >= storm->kill_count ? 0 : 1;
}

/* ------------------------------------------------------------------ the command line */

static int index_of(const char *const *names, const char *name)
{
	for (int i = 0; names[i]; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	fprintf(stderr, "storm: '%s' is none of those that the first comment of storm.c lists\n", name);
	exit(2);
}

static uint64_t number_of(const char *text, uint64_t least, uint64_t most)
{
	char *end;
	uint64_t number = strtoull(text, &end, 0);

	if (*text == '\0' || *end != '\0' || number < least || number > most) {
		fprintf(stderr, "storm: '%s': a number from %" PRIu64 " to %" PRIu64 " is expected\n", text, least, most);
		exit(2);
	}
	return number;
}

static void parse(struct storm *storm, int argc, char **argv)
{
	static const struct option known[] = {
		{"share", required_argument, NULL, 's'},   {"kill", required_argument, NULL, 'k'},
		{"kills", required_argument, NULL, 'n'},   {"readers", required_argument, NULL, 'r'},
		{"slots", required_argument, NULL, 'l'},   {"seed", required_argument, NULL, 'e'},
		{"start", required_argument, NULL, 'b'},   {"payload-kb", required_argument, NULL, 'p'},
		{"hang-ms", required_argument, NULL, 'h'}, {"kept-percent", required_argument, NULL, 'c'},
		{"shmem", no_argument, NULL, 'm'},         {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 's':
			storm->options.share = (enum shmring_share)index_of(share_names, optarg);
			break;
		case 'k':
			storm->kind = (enum storm_kind)index_of(kind_names, optarg);
			break;
		case 'n':
			storm->kill_count = (uint32_t)number_of(optarg, 1, 1000000);
			break;
		case 'r':
			storm->options.reader_count = (uint32_t)number_of(optarg, 1, SHMRING_MAX_READERS);
			break;
		case 'l':
			storm->options.slot_count = (uint32_t)number_of(optarg, SHMRING_MIN_SLOTS, SHMRING_MAX_SLOTS);
			break;
		case 'e':
			storm->options.seed = number_of(optarg, 0, UINT64_MAX);
			break;
		case 'b':
			storm->options.first_ring = number_of(optarg, 0, UINT64_MAX);
			break;
		case 'p':
			storm->options.payload_bytes = (uint32_t)number_of(optarg, 1, 1 << 20) * 1024;
			break;
		case 'h':
			storm->hang_ms = (uint32_t)number_of(optarg, 1, 1000000);
			break;
		case 'c':
			storm->kept_percent = (uint32_t)number_of(optarg, 0, 100);
			break;
		case 'm':
			storm->check_shmem = true;
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct storm storm = {
		.options = {.share = SHMRING_SPLIT, .reader_count = 3, .slot_count = 8, .payload_bytes = 16 << 10, .seed = 7},
		.kill_count = 300,
		.hang_ms = 2000,
		.kept_percent = 80,
	};

	parse(&storm, argc, argv);
	snprintf(storm.options.ring, sizeof storm.options.ring, "storm-%d", getpid());
	return run(&storm);
}
