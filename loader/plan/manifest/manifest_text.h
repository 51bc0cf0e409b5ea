/*
 * manifest_text.h - a manifest's file in, its bytes out, through a buffer that never grows, and a line and a column for each of them.
 *
 * Records are read one by one: whoever reads looks at what lies between `begin` and `end`, asks for more until there is a whole
 * record, and passes over it.  The file is read and not mapped: one that shrinks meanwhile is merely short.
 */
#ifndef CROPRING_MANIFEST_TEXT_H
#define CROPRING_MANIFEST_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Of the longest record, which is a line, or several where line breaks stand in quotes.  Fuzzers are built with fewer. */
#ifndef MANIFEST_RECORD_BYTES
#define MANIFEST_RECORD_BYTES (1 << 20)
#endif

struct manifest_text {
	int fd;           /* the caller's */
	const char *name; /* the file's, for messages; the caller's */
	char *buffer;
	size_t begin, end; /* what was read and not passed over; at `end` there is a NUL */
	uint64_t line;     /* that `begin` stands in; the first is 1 */
	bool at_end;       /* there is no more in the file */
};

/* Looks for a byte order mark, which is passed over.  -EINVAL, -ENOMEM, or what reading says. */
int manifest_text_open(struct manifest_text *text, int fd, const char *name, struct err *err);
void manifest_text_close(struct manifest_text *text);

/*
 * Reads more, which may move what was read before; then at_end is set or a longer part of the record is there.  -EFBIG and no
 * sentence, when there are more than MANIFEST_RECORD_BYTES of it.
 */
int manifest_text_fill(struct manifest_text *text, struct err *err);

/* So many bytes are done with; they hold so many line feeds. */
void manifest_text_pass(struct manifest_text *text, size_t byte_count, uint64_t line_count);

/* -EINVAL, and "FILE:LINE:COLUMN: " before the sentence; columns count characters from 1.  `at` is not before `begin`. */
__attribute__((format(printf, 4, 5))) int manifest_text_fault(const struct manifest_text *text, const char *at, struct err *err,
                                                              const char *format, ...);

/* Bytes of a file in quotes, as far as they fit, with a '?' for each control character: "12a". */
#define MANIFEST_QUOTE_BYTES 72
const char *manifest_text_quote(char quote[MANIFEST_QUOTE_BYTES], const char *bytes, size_t byte_count);

#endif
