/* pack_report.h - what `cropring pack` says while it works, and at its end. */
#ifndef CROPRING_PACK_REPORT_H
#define CROPRING_PACK_REPORT_H

#include "loader/pack/pack_writer.h"

/* All zero but for the writer, before the first call. */
struct pack_report {
	const struct pack_writer *writer;
	uint64_t began_ns, shown_ns;
	uint64_t first_picture, first_bytes; /* what was there at the begin: of the pictures, and of their files' bytes */
};

void pack_report_begin(struct pack_report *report, const struct pack_writer *writer);

/* The progress line of a terminal, a few times a second at most. */
void pack_report_progress(struct pack_report *report);

/* The last words: how much of what, what became of it, how long it took. */
void pack_report_end(const struct pack_report *report, const char *out);

#endif
