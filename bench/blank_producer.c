/*
 * blank_producer.c - a producer that fills nothing: it claims a slot and commits it, as fast as slots come free or at a given pace.
 * What is left is the hand-over itself, whose CPU time bench/handover.py measures.
 *
 *   blank_producer RING BATCH_BYTES SLOTS PAUSE_US
 *       serves one reader, who is somewhere else, until it leaves
 *   blank_producer RING BATCH_BYTES SLOTS PAUSE_US split|broadcast READERS BATCHES
 *       serves readers of its own, processes that take batches and give them back, and prints one line of what both sides took
 *
 * PAUSE_US: between two commits; 0 for as fast as slots come free.
 * Threads: the main thread stands at the door, another claims and commits.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "shmring/shmring.h"

enum { ROWS = 16, WIDTH = 256 };

struct job {
	const char *ring;
	uint64_t batch_bytes, batch_count; /* batch_count 0: until the readers have left */
	uint32_t slot_count, reader_count;
	enum shmring_share share;
	bool own_readers;
	unsigned pause_us;

	struct shmring_producer *producer;
	uint64_t commit_count, commit_cpu_ns; /* the publishing thread's until it is joined */
};

/* What a reader process tells when it is done. */
struct tally {
	uint64_t batch_count, cpu_ns;
};

/* The same arrays as the loader's. */
static int create_ring(struct job *job, struct err *err)
{
	const struct shmring_field fields[] = {
		{.name = "images",
	         .dtype = SHMRING_UINT8,
	         .dim_count = 4,
	         .shape = {ROWS, (uint32_t)(job->batch_bytes / ROWS / WIDTH), WIDTH, 1}},
		{.name = "labels", .dtype = SHMRING_INT64, .dim_count = 1, .shape = {ROWS}},
		{.name = "index", .dtype = SHMRING_INT64, .dim_count = 1, .shape = {ROWS}},
		{.name = "box", .dtype = SHMRING_INT32, .dim_count = 2, .shape = {ROWS, 4}},
		{.name = "source_size", .dtype = SHMRING_INT32, .dim_count = 2, .shape = {ROWS, 2}},
		{.name = "flipped", .dtype = SHMRING_UINT8, .dim_count = 1, .shape = {ROWS}},
		{.name = "status", .dtype = SHMRING_UINT8, .dim_count = 1, .shape = {ROWS}},
	};
	const struct shmring_config config = {
		.name = job->ring,
		.slot_count = job->slot_count,
		.share = job->share,
		.reader_limit = job->reader_count,
		.fields = fields,
		.field_count = sizeof fields / sizeof fields[0],
		.catalog_fd = -1,
		.subject = "nothing",
	};
	int rc = shmring_create(&job->producer, &config, err);

	if (rc == 0)
		rc = shmring_door_open(job->producer, NULL, err);
	return rc;
}

/* CPU time of looking at the CPU clock, to be taken off each measurement. */
static uint64_t clock_cost_ns(void)
{
	enum { LOOKS = 10000 };
	uint64_t begin_ns = clock_thread_cpu_ns();

	for (int i = 1; i < LOOKS; i++)
		(void)clock_thread_cpu_ns();
	return (clock_thread_cpu_ns() - begin_ns) / LOOKS;
}

static void *publish(void *argument)
{
	struct job *job = argument;
	const struct timespec pause = {.tv_sec = job->pause_us / 1000000, .tv_nsec = job->pause_us % 1000000 * 1000L};
	uint64_t clock_ns = clock_cost_ns();

	while (job->batch_count == 0 || job->commit_count < job->batch_count) {
		struct shmring_slot slot;
		uint64_t begin_ns;
		int rc = shmring_claim(job->producer, 1000, &slot);

		if (rc == -ETIMEDOUT)
			continue;
		if (rc < 0) /* the readers have left */
			break;
		begin_ns = clock_thread_cpu_ns();
		shmring_commit(job->producer, &slot, 0, ROWS);
		job->commit_cpu_ns += clock_thread_cpu_ns() - begin_ns - clock_ns;
		job->commit_count++;
		if (job->pause_us > 0)
			nanosleep(&pause, NULL);
	}
	shmring_finish(job->producer, SHMRING_COMPLETE, NULL);
	return NULL;
}

/* The life of a reader process. */
static int read_all(const char *ring, int tally_fd)
{
	struct shmring_reader *reader;
	struct shmring_lease lease;
	struct tally tally = {0};
	struct err err;
	uint64_t begin_ns;
	int rc;

	if (shmring_attach(&reader, ring, NULL, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	begin_ns = clock_thread_cpu_ns();
	while ((rc = shmring_acquire(reader, -1, &lease)) == 0) {
		tally.batch_count++;
		(void)shmring_release(reader, &lease); /* cannot be stale: nobody expels us */
	}
	tally.cpu_ns = clock_thread_cpu_ns() - begin_ns;
	shmring_detach(reader);
	if (rc == -ENODATA && write(tally_fd, &tally, sizeof tally) == (ssize_t)sizeof tally)
		return 0;
	fprintf(stderr, "a reader ended with %s\n", strerror(-rc));
	return 1;
}

static bool start_readers(const struct job *job, int tally_fd)
{
	for (uint32_t i = 0; i < job->reader_count; i++) {
		pid_t child = fork();

		if (child < 0)
			return false;
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(read_all(job->ring, tally_fd));
		}
	}
	return true;
}

/* Handles the door until as many readers as wanted have done `wanted`. */
static void await(struct shmring_producer *producer, enum shmring_event wanted, uint32_t count)
{
	struct pollfd door = {.fd = shmring_door_fd(producer), .events = POLLIN};

	while (count > 0) {
		struct shmring_visitor visitor;
		enum shmring_event event;

		(void)poll(&door, 1, 100); /* an error is as good a reason to look as any */
		event = shmring_door_step(producer, &visitor);
		if (event == wanted || (wanted == SHMRING_LEFT && event == SHMRING_DIED && !visitor.had_left))
			count--;
	}
}

/* False when a reader has failed, or got less than all. */
static bool report(const struct job *job, int tally_fd)
{
	uint64_t expected = job->commit_count * (job->share == SHMRING_BROADCAST ? job->reader_count : 1);
	struct tally sum = {0}, one;

	while (read(tally_fd, &one, sizeof one) == (ssize_t)sizeof one) {
		sum.batch_count += one.batch_count;
		sum.cpu_ns += one.cpu_ns;
	}
	printf("commits %" PRIu64 " commit_cpu_ns %" PRIu64 " deliveries %" PRIu64 " reader_cpu_ns %" PRIu64 "\n",
	       job->commit_count, job->commit_cpu_ns, sum.batch_count, sum.cpu_ns);
	return sum.batch_count == expected;
}

static int run(struct job *job)
{
	int tally_fds[2], status = 0;
	pthread_t publisher;
	struct err err;

	if (create_ring(job, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	if (pipe(tally_fds) < 0 || (job->own_readers && !start_readers(job, tally_fds[1]))) {
		perror("pipe or fork");
		return 1;
	}
	close(tally_fds[1]);
	await(job->producer, SHMRING_JOINED, job->reader_count);
	if (pthread_create(&publisher, NULL, publish, job) != 0)
		return 1;
	await(job->producer, SHMRING_LEFT, job->reader_count);
	shmring_cancel_claims(job->producer);
	pthread_join(publisher, NULL);
	if (job->own_readers && !report(job, tally_fds[0]))
		status = 1;
	close(tally_fds[0]);
	while (wait(NULL) > 0)
		continue;
	shmring_destroy(job->producer);
	return status;
}

int main(int argument_count, char **arguments)
{
	struct job job = {.reader_count = 1};

	if (argument_count != 5 && argument_count != 8) {
		fprintf(stderr, "usage: %s RING BATCH_BYTES SLOTS PAUSE_US [split|broadcast READERS BATCHES]\n", arguments[0]);
		return 2;
	}
	job.ring = arguments[1];
	job.batch_bytes = strtoull(arguments[2], NULL, 10);
	job.slot_count = (uint32_t)strtoul(arguments[3], NULL, 10);
	job.pause_us = (unsigned)strtoul(arguments[4], NULL, 10);
	if (argument_count == 8) {
		job.own_readers = true;
		job.share = strcmp(arguments[5], "broadcast") == 0 ? SHMRING_BROADCAST : SHMRING_SPLIT;
		job.reader_count = (uint32_t)strtoul(arguments[6], NULL, 10);
		job.batch_count = strtoull(arguments[7], NULL, 10);
	}
	return run(&job);
}
