/*
 * trace_writer.h - recorded events as a file that ui.perfetto.dev and chrome://tracing open: JSON, one event on a line.
 *
 * Format: "Trace Event Format", Google, the JSON Array Format, whose closing bracket may be missing: so the file of a worker that was
 * killed can be opened, up to its last whole line, and a worker that takes its place goes on in it.  The main thread's.
 */
#ifndef CROPRING_TRACE_WRITER_H
#define CROPRING_TRACE_WRITER_H

#include <stdbool.h>

#include "loader/run/report.h"
#include "loader/run/trace.h"

#define TRACE_LIMIT_BYTES (UINT64_C(1) << 30) /* what the viewers can still open, and more than anyone looks at */

struct trace_writer {
	struct trace *trace;
	struct report report;
	const struct shmring_producer *producer;
	int32_t pid;
	uint32_t slot_count;
	uint64_t written_bytes, read_count, limit_bytes;
	bool named, is_full, warned;
};

/* The process that writes: to be called while there is one thread. */
int trace_writer_open(struct trace_writer *writer, const char *path, bool goes_on, struct err *err);

/* There is something to record.  -ENOMEM. */
int trace_writer_begin(struct trace_writer *writer, const struct shmring_producer *producer, uint32_t slot_count,
                       uint32_t decoder_count);

/* Takes what was recorded; false: not all of it could be handed on without waiting.  Several times a second. */
bool trace_writer_step(struct trace_writer *writer, const char *ring);

/* The last events: of the batches that are still in their slots, too.  No thread records any more. */
void trace_writer_end(struct trace_writer *writer, const char *ring);

void trace_writer_close(struct trace_writer *writer);

#endif
