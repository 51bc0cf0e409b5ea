/*
 * stats.h - the counters that readers see in stats(), the progress line, the summary and the --stats file.
 *
 * Kept in the ring's counters, so that they are there for readers while the worker runs and after it died.
 */
#ifndef CROPRING_STATS_H
#define CROPRING_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/verdict.h"
#include "loader/item_status.h"
#include "loader/run/attribution.h"
#include "loader/run/log.h"
#include "loader/run/report.h"
#include "shmring/shmring.h"

enum stats_counter {
	STATS_IMAGES,           /* rows delivered, substitutes and blanks included */
	STATS_BATCHES,          /* batches published */
	STATS_BYTES_READ,       /* of files, also of those that failed to decode */
	STATS_BAD_SAMPLES,      /* rows whose planned sample failed */
	STATS_SUBSTITUTES,      /* substitutes tried; more than bad_samples when substitutes fail too */
	STATS_LOADER_WAIT_NS,   /* every slot was full and nothing was left to do */
	STATS_READER_WAIT_NS,   /* a reader waited for a batch */
	STATS_START_WAIT_NS,    /* that part of reader_wait_ns in which readers waited for their first batch */
	STATS_READER_NS,        /* readers were there, summed over them */
	STATS_WAITED_DECODE_NS, /* reader_wait_ns but for start_wait_ns, by what decode threads did meanwhile: see attribution.h */
	STATS_WAITED_READ_NS,
	STATS_WAITED_IDLE_NS,
	STATS_DECODE_NS, /* CPU time of the decode threads, summed, as the next */
	STATS_SHAPE_NS,
	STATS_DECODE_BUSY_NS,   /* decode threads had a row, whether or not they got a CPU for it, summed, as the next */
	STATS_DECODE_WAIT_NS,   /* decode threads had nothing to do while bytes were on their way, summed, as the next */
	STATS_DECODE_IDLE_NS,   /* or nothing was: every slot was full, or nobody asked for more; since the first reader came */
	STATS_FETCH_NS,         /* CPU time of the thread that reads files, and of those that help it */
	STATS_PLAN_NS,          /* CPU time of the thread that plans */
	STATS_CPU_NS,           /* user and system time of the worker */
	STATS_ELAPSED_NS,       /* since the start of work, less what the full ring waited for its first reader */
	STATS_THREADS,          /* decode threads */
	STATS_CPUS,             /* that the worker may use: affinity and cgroup quota */
	STATS_REQUESTS,         /* 1: batches are made as they are asked for */
	STATS_URING,            /* 1: io_uring, 0: pread */
	STATS_MEMFD,            /* 1: the segment is a memfd, 0: POSIX shared memory */
	STATS_READERS,          /* that are there */
	STATS_REDELIVERED,      /* batches that a reader had when it died, offered again */
	STATS_SANDBOX_LANDLOCK, /* Landlock's ABI; 0: it is not in force */
	STATS_SANDBOX_ROOTS,    /* folders that the worker may read in: the source, and where its links lead */
	STATS_SANDBOX_SECCOMP,  /* 1: in force */
	STATS_SANDBOX_URING,    /* 1: io_uring is used, and restricted */
	STATS_STATUS_0,         /* files by how they ended: STATS_STATUS_0 + enum item_status */
	STATS_COUNTER_COUNT = STATS_STATUS_0 + ITEM_STATUS_COUNT,
};

/* "images", "batches", ..., "status_missing", ...: in the order of the enum, for shmring_config. */
const char *const *stats_counter_names(void);

/*
 * Brings the counters that are sampled (CPU, elapsed, readers' times) up to date; counting_since_ns 0: no reader yet.  Those of the
 * decode threads are so already (pipeline_sample()).
 */
void stats_sample(struct shmring_producer *producer, struct attribution *attribution, uint64_t counting_since_ns);

/* What the lines below need to know beside the counters. */
struct stats_scope {
	const char *ring;
	uint64_t expected_batches; /* 0: endless, or none */
	uint64_t expected_images;  /* 0: endless */
	uint32_t slot_count;
	uint32_t epoch;
};

/* "epoch 2  1,234 of 5,000 images  812 images/s  loader waits  90.1 MB/s read  2 of 3 batches ready" */
void stats_progress_line(const struct shmring_producer *producer, const struct stats_scope *scope, const struct verdict *now,
                         char *line, size_t line_bytes);

/* How much, how fast, and who waited for whom, since the start. */
void stats_log_sums(const struct shmring_producer *producer, enum log_level level);

/* The closing lines for people, one log line each; bad samples are a warning whatever `level` is. */
void stats_log_summary(const struct shmring_producer *producer, enum log_level level);

/* --stats: all counters as one JSON object.  Waits until it is written. */
int stats_write(const struct shmring_producer *producer, const struct stats_scope *scope, struct report *report, struct err *err);

#endif
