/* manifest_text.c - part of stage 1 of 5: a manifest's file in, its bytes and their places out.  One thread. */
#include "loader/plan/manifest/manifest_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A record that ends beyond the buffer is moved to its beginning: less than a megabyte for each that is read. */
enum { BUFFER_BYTES = 2 * MANIFEST_RECORD_BYTES };

static bool begins_with(const struct manifest_text *text, const char *bytes, size_t byte_count)
{
	return text->end - text->begin >= byte_count && memcmp(text->buffer + text->begin, bytes, byte_count) == 0;
}

int manifest_text_open(struct manifest_text *text, int fd, const char *name, struct err *err)
{
	int rc;

	*text = (struct manifest_text){.fd = fd, .name = name, .line = 1, .buffer = malloc(BUFFER_BYTES + 1)};
	if (!text->buffer)
		return err_fail(err, -ENOMEM, "%s: out of memory", name);
	rc = manifest_text_fill(text, err);
	if (rc == 0 && (begins_with(text, "\xff\xfe", 2) || begins_with(text, "\xfe\xff", 2)))
		rc = err_fail(err, -EINVAL, "%s:1:1: this is UTF-16 text; save it as UTF-8", name);
	if (rc == 0 && begins_with(text, "\xef\xbb\xbf", 3))
		text->begin += 3;
	return rc;
}

void manifest_text_close(struct manifest_text *text)
{
	free(text->buffer);
	text->buffer = NULL;
}

int manifest_text_fill(struct manifest_text *text, struct err *err)
{
	if (text->end - text->begin > MANIFEST_RECORD_BYTES)
		return -EFBIG;
	memmove(text->buffer, text->buffer + text->begin, text->end - text->begin);
	text->end -= text->begin;
	text->begin = 0;
	while (!text->at_end && text->end < BUFFER_BYTES) {
		ssize_t byte_count = read(text->fd, text->buffer + text->end, BUFFER_BYTES - text->end);

		if (byte_count < 0 && errno == EINTR)
			continue;
		if (byte_count < 0)
			return err_fail(err, -errno, "%s: cannot be read: %s", text->name, strerror(errno));
		text->at_end = byte_count == 0;
		text->end += (size_t)byte_count;
	}
	text->buffer[text->end] = '\0';
	return 0;
}

void manifest_text_pass(struct manifest_text *text, size_t byte_count, uint64_t line_count)
{
	text->begin += byte_count;
	text->line += line_count;
}

int manifest_text_fault(const struct manifest_text *text, const char *at, struct err *err, const char *format, ...)
{
	uint64_t line = text->line, column = 1;
	struct err reason;
	va_list arguments;

	for (const char *byte = text->buffer + text->begin; byte < at; byte++) {
		line += *byte == '\n';
		column = *byte == '\n' ? 1 : column + ((*byte & 0xc0) != 0x80); /* bytes that go on with a character do not count */
	}
	va_start(arguments, format);
	vsnprintf(reason.text, sizeof reason.text, format, arguments);
	va_end(arguments);
	return err_fail(err, -EINVAL, "%s:%llu:%llu: %s", text->name, (unsigned long long)line, (unsigned long long)column,
	                reason.text);
}

const char *manifest_text_quote(char quote[MANIFEST_QUOTE_BYTES], const char *bytes, size_t byte_count)
{
	size_t shown = byte_count;

	if (shown > MANIFEST_QUOTE_BYTES - sizeof "\"...\"") {
		shown = MANIFEST_QUOTE_BYTES - sizeof "\"...\"";
		while (shown > 0 && (bytes[shown] & 0xc0) == 0x80) /* not within a character */
			shown--;
	}
	quote[0] = '"';
	for (size_t i = 0; i < shown; i++)
		quote[1 + i] = (unsigned char)bytes[i] < ' ' || bytes[i] == 0x7f ? '?' : bytes[i];
	strcpy(quote + 1 + shown, shown < byte_count ? "...\"" : "\"");
	return quote;
}
