/* trace_writer.c - events in, lines of JSON out, to the process that writes the file. */
#include "loader/run/trace_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/item_status.h"
#include "loader/run/log.h"

/* Tracks, as the file numbers them: "tid".  Slots stand above all others. */
enum { TRACK_PLANNER = 1, TRACK_FETCHER = 2, TRACK_SLOT = 1000, TRACK_READER = 2000, TRACK_DECODER = 3000 };

enum {
	LINE_BYTES = 320, /* the longest; checked where it is written */
	CHUNK_BYTES = 32768,
	PATIENCE_MS = 5000, /* for the last events, on a disk that hangs */
};

/* Lines on their way. */
struct chunk {
	char text[CHUNK_BYTES];
	size_t used_bytes;
};

__attribute__((format(printf, 2, 3))) static void add_line(struct chunk *chunk, const char *format, ...)
{
	size_t room_bytes = sizeof chunk->text - chunk->used_bytes;
	va_list arguments;
	int line_bytes;

	va_start(arguments, format);
	line_bytes = vsnprintf(chunk->text + chunk->used_bytes, room_bytes, format, arguments);
	va_end(arguments);
	if (line_bytes > 0 && (size_t)line_bytes < room_bytes) /* else it is left out, whole */
		chunk->used_bytes += (size_t)line_bytes;
}

static bool has_room(const struct chunk *chunk)
{
	return sizeof chunk->text - chunk->used_bytes >= 2 * LINE_BYTES;
}

static const char *describe_error(int error)
{
	return error == EBUSY ? "another worker writes this file" : strerror(error);
}

/* True when it is on its way, or will never be. */
static bool hand_on(struct trace_writer *writer, struct chunk *chunk)
{
	int rc = chunk->used_bytes > 0 ? report_send(&writer->report, chunk->text, chunk->used_bytes) : 0;

	writer->written_bytes += chunk->used_bytes;
	chunk->used_bytes = 0;
	if (!writer->warned && (rc == -EPIPE || rc == -ENOMEM || writer->report.error != 0)) {
		writer->warned = true;
		trace_stop(writer->trace);
		log_write(LOG_WARNING, "--trace %s: cannot be written: %s; it ends here", writer->report.path,
		          describe_error(rc < 0 ? -rc : writer->report.error));
	}
	return !writer->warned;
}

/* ------------------------------------------------------------------ names */

static void name_track(struct chunk *chunk, int32_t pid, uint32_t track, const char *name, int number)
{
	char text[32];

	snprintf(text, sizeof text, number < 0 ? "%s" : "%s %d", name, number);
	add_line(chunk, "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%d,\"tid\":%u,\"args\":{\"name\":\"%s\"}},\n", pid, track,
	         text);
	add_line(chunk, "{\"ph\":\"M\",\"name\":\"thread_sort_index\",\"pid\":%d,\"tid\":%u,\"args\":{\"sort_index\":%u}},\n", pid,
	         track, track >= TRACK_SLOT && track < TRACK_DECODER ? track - TRACK_SLOT : track + TRACK_DECODER);
}

static bool name_tracks_of(struct trace_writer *writer, struct chunk *chunk, uint32_t first_track, const char *name, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		name_track(chunk, writer->pid, first_track + i, name, (int)i);
		if (!has_room(chunk) && !hand_on(writer, chunk))
			return false;
	}
	return true;
}

static bool name_tracks(struct trace_writer *writer, const char *ring)
{
	struct chunk chunk = {.used_bytes = 0};
	struct shmring_snapshot seen;

	shmring_look_at_own(writer->producer, &seen);
	add_line(&chunk, "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,\"args\":{\"name\":\"cropring %s\"}},\n", writer->pid,
	         ring);
	name_track(&chunk, writer->pid, TRACK_PLANNER, "plan", -1);
	name_track(&chunk, writer->pid, TRACK_FETCHER, "fetch", -1);
	return name_tracks_of(writer, &chunk, TRACK_SLOT, "slot", seen.slot_count) &&
	       name_tracks_of(writer, &chunk, TRACK_READER, "reader", seen.reader_limit) &&
	       name_tracks_of(writer, &chunk, TRACK_DECODER, "decode", trace_lane_count(writer->trace) - TRACE_FIRST_DECODER) &&
	       hand_on(writer, &chunk);
}

/* ------------------------------------------------------------------ events */

/* Microseconds, as the format wants them. */
#define US       "%" PRIu64 ".%03u"
#define AS_US(x) (x) / 1000u, (unsigned)((x) % 1000u)

static uint32_t track_of(const struct trace_event *event, uint32_t lane)
{
	switch ((enum trace_kind)event->kind) {
	case TRACE_FILLING:
	case TRACE_READY:
	case TRACE_HELD:
		return TRACK_SLOT + event->track;
	case TRACE_TRAINER_WAITS:
		return TRACK_READER + event->track;
	case TRACE_LOADER_WAITS:
	case TRACE_PLAN:
		return TRACK_PLANNER;
	case TRACE_READ:
		return TRACK_FETCHER;
	case TRACE_DECODE:
	case TRACE_SHAPE:
		break;
	}
	return TRACK_DECODER + lane - TRACE_FIRST_DECODER;
}

static void describe(const struct trace_event *event, char *text, size_t text_bytes)
{
	switch ((enum trace_kind)event->kind) {
	case TRACE_FILLING:
	case TRACE_READY:
	case TRACE_TRAINER_WAITS:
	case TRACE_PLAN:
		snprintf(text, text_bytes, "\"seq\":%u,\"epoch\":%u", event->sequence, event->epoch);
		break;
	case TRACE_HELD:
		snprintf(text, text_bytes, "\"seq\":%u,\"epoch\":%u,\"reader\":%u", event->sequence, event->epoch, event->reader);
		break;
	case TRACE_LOADER_WAITS:
		text[0] = '\0';
		break;
	case TRACE_READ:
	case TRACE_DECODE:
	case TRACE_SHAPE:
		snprintf(text, text_bytes, "\"sample\":%" PRIu64 ",\"seq\":%u", event->sample, event->sequence);
		break;
	}
}

/* Files are read many at a time, so that their events overlap: the format has another kind of event for that. */
static void add_read(struct chunk *chunk, struct trace_writer *writer, const struct trace_event *event, const char *arguments)
{
	const char *status = event->status == ITEM_OK ? "read" : item_status_name((enum item_status)event->status);
	uint64_t id = ++writer->read_count;

	add_line(chunk,
	         "{\"ph\":\"b\",\"cat\":\"read\",\"name\":\"%s\",\"id\":%" PRIu64 ",\"pid\":%d,\"tid\":%d,\"ts\":" US
	         ",\"args\":{%s}},\n"
	         "{\"ph\":\"e\",\"cat\":\"read\",\"name\":\"%s\",\"id\":%" PRIu64 ",\"pid\":%d,\"tid\":%d,\"ts\":" US "},\n",
	         status, id, writer->pid, TRACK_FETCHER, AS_US(event->begin_ns), arguments, status, id, writer->pid, TRACK_FETCHER,
	         AS_US(event->end_ns));
}

static void add_event(struct chunk *chunk, struct trace_writer *writer, uint32_t lane, const struct trace_event *event)
{
	static const char *const names[] = {"filling", "ready", "held",   "trainer waits", "loader waits",
	                                    "plan",    "read",  "decode", "shape"};
	char arguments[96];

	describe(event, arguments, sizeof arguments);
	if (event->kind == TRACE_READ) {
		add_read(chunk, writer, event, arguments);
		return;
	}
	add_line(chunk, "{\"ph\":\"X\",\"name\":\"%s%s%s\",\"pid\":%d,\"tid\":%u,\"ts\":" US ",\"dur\":" US ",\"args\":{%s}},\n",
	         names[event->kind], event->status == ITEM_OK ? "" : ": ",
	         event->status == ITEM_OK ? "" : item_status_name((enum item_status)event->status), writer->pid,
	         track_of(event, lane), AS_US(event->begin_ns), AS_US(event->end_ns - event->begin_ns), arguments);
}

static void add_counts(struct chunk *chunk, const struct trace_writer *writer)
{
	uint32_t count[4] = {0};
	struct shmring_snapshot seen;

	shmring_look_at_own(writer->producer, &seen);
	for (uint32_t i = 0; i < seen.slot_count; i++)
		count[seen.slot[i].state]++;
	add_line(chunk,
	         "{\"ph\":\"C\",\"name\":\"ring\",\"pid\":%d,\"ts\":" US ",\"args\":{\"filling\":%u,\"ready\":%u,\"held\":%u}},\n",
	         writer->pid, AS_US(seen.time_ns), count[SHMRING_SLOT_FILLING], count[SHMRING_SLOT_READY],
	         count[SHMRING_SLOT_HELD]);
}

static void stop_if_full(struct trace_writer *writer)
{
	if (writer->is_full || writer->written_bytes < writer->limit_bytes)
		return;
	writer->is_full = true;
	trace_stop(writer->trace);
	log_write(LOG_WARNING, "--trace %s: it has %" PRIu64 " MB, and nothing is recorded any more", writer->report.path,
	          writer->written_bytes >> 20);
}

/* Until there are no events, or, false, no room for them. */
static bool write_events(struct trace_writer *writer, struct chunk *chunk)
{
	struct trace_event event;

	for (uint32_t lane = 0; lane < trace_lane_count(writer->trace); lane++) {
		while (trace_take(writer->trace, lane, &event)) {
			add_event(chunk, writer, lane, &event);
			if (has_room(chunk))
				continue;
			/* What the socket does not take stays with the report: then no more is taken out of the buffers. */
			if (!hand_on(writer, chunk) || report_step(&writer->report) == -EAGAIN)
				return false;
		}
	}
	return true;
}

/* ------------------------------------------------------------------ begin, go on, end */

int trace_writer_open(struct trace_writer *writer, const char *path, bool goes_on, struct err *err)
{
	int rc = report_open(&writer->report, "--trace", goes_on ? REPORT_CONTINUE : REPORT_APPEND, path, err);

	writer->written_bytes = writer->report.earlier_bytes;
	writer->limit_bytes = TRACE_LIMIT_BYTES;
	return rc;
}

int trace_writer_begin(struct trace_writer *writer, const struct shmring_producer *producer, uint32_t slot_count,
                       uint32_t decoder_count)
{
	writer->producer = producer;
	writer->slot_count = slot_count;
	writer->pid = getpid();
	return trace_open(&writer->trace, decoder_count);
}

bool trace_writer_step(struct trace_writer *writer, const char *ring)
{
	struct chunk chunk = {.used_bytes = 0};
	bool is_all;

	if (writer->warned || writer->is_full)
		return true;
	if (report_step(&writer->report) == -EAGAIN)
		return false;
	if (!writer->named) {
		writer->named = true;
		if (!name_tracks(writer, ring))
			return true;
	}
	add_counts(&chunk, writer);
	is_all = write_events(writer, &chunk);
	if (hand_on(writer, &chunk))
		stop_if_full(writer);
	return is_all;
}

/* A socket holds less than buffers do. */
static void step_until_empty(struct trace_writer *writer, const char *ring, uint64_t deadline_ns)
{
	while (!trace_writer_step(writer, ring) && clock_now_ns() < deadline_ns)
		(void)usleep(1000);
}

/* The main thread takes the place of the planner, which has ended. */
static void add_slots(struct trace_writer *writer)
{
	uint64_t now_ns = clock_now_ns();

	for (uint32_t i = 0; i < writer->slot_count; i++) {
		const struct shmring_times times = shmring_slot_times(writer->producer, i);

		trace_add_slot(writer->trace, TRACE_PLANNER, i, &times, now_ns);
	}
}

void trace_writer_end(struct trace_writer *writer, const char *ring)
{
	uint64_t dropped_count = trace_dropped_count(writer->trace), deadline_ns = clock_now_ns() + PATIENCE_MS * UINT64_C(1000000);
	struct chunk chunk = {.used_bytes = 0};
	struct err err;

	step_until_empty(writer, ring, deadline_ns);
	add_slots(writer);
	step_until_empty(writer, ring, deadline_ns);
	add_line(&chunk,
	         "{\"ph\":\"i\",\"s\":\"p\",\"name\":\"%s\",\"pid\":%d,\"tid\":%d,\"ts\":" US ",\"args\":{\"dropped\":%" PRIu64
	         "}}\n]\n",
	         writer->is_full ? "recording stopped: the file is full" : "end", writer->pid, TRACK_PLANNER, AS_US(clock_now_ns()),
	         dropped_count);
	(void)hand_on(writer, &chunk);
	if (report_finish(&writer->report, PATIENCE_MS, &err) < 0 && !writer->warned)
		log_write(LOG_WARNING, "%s", err.text);
	if (dropped_count > 0)
		log_write(LOG_WARNING, "--trace %s: %" PRIu64 " events came too fast and are not in it", writer->report.path,
		          dropped_count);
}

void trace_writer_close(struct trace_writer *writer)
{
	report_close(&writer->report);
	trace_close(writer->trace);
}
