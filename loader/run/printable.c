/* printable.c - bytes from outside in, text that may be shown out.  Any thread. */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "loader/run/printable.h"

/* Bytes of the well-formed UTF-8 sequence at `text`, or 0.  Source: The Unicode Standard 15.0, table 3-7. */
static size_t sequence_bytes(const unsigned char *text)
{
	unsigned char first = text[0], least = 0x80, most = 0xbf;
	size_t byte_count;

	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		byte_count = 2;
	else if (first >= 0xe0 && first <= 0xef)
		byte_count = 3;
	else if (first >= 0xf0 && first <= 0xf4)
		byte_count = 4;
	else
		return 0;
	if (first == 0xe0)
		least = 0xa0; /* shorter forms exist */
	else if (first == 0xed)
		most = 0x9f; /* surrogates */
	else if (first == 0xf0)
		least = 0x90;
	else if (first == 0xf4)
		most = 0x8f;                      /* past U+10FFFF */
	for (size_t i = 1; i < byte_count; i++) { /* a NUL is never within bounds */
		if (text[i] < least || text[i] > most)
			return 0;
		least = 0x80;
		most = 0xbf;
	}
	return byte_count;
}

/* U+0000 to U+001F, U+007F and U+0080 to U+009F. */
static bool is_control(const unsigned char *text)
{
	return text[0] < 0x20 || text[0] == 0x7f || (text[0] == 0xc2 && text[1] < 0xa0);
}

/* One character of `text` as it may be shown to people; how many bytes of `text` it stands for. */
static size_t escape_character(const unsigned char *text, char shown[8])
{
	size_t byte_count = sequence_bytes(text);

	if (*text == '\n' || *text == '\t') {
		snprintf(shown, 8, "\\%c", *text == '\n' ? 'n' : 't');
		return 1;
	}
	if (!byte_count || is_control(text)) {
		snprintf(shown, 8, "\\x%02x", *text);
		return 1;
	}
	memcpy(shown, text, byte_count);
	shown[byte_count] = '\0';
	return byte_count;
}

static size_t replace_character(const unsigned char *text, char shown[8])
{
	size_t byte_count = sequence_bytes(text);

	if (!byte_count) {
		memcpy(shown, "\xef\xbf\xbd", 4);
		return 1;
	}
	memcpy(shown, text, byte_count);
	shown[byte_count] = '\0';
	return byte_count;
}

static void print_characters(char *out, size_t out_bytes, const char *text, size_t (*print)(const unsigned char *, char *))
{
	static const char cut_mark[] = "...";
	size_t used = 0, last_cut = 0; /* last_cut: the longest beginning that leaves room for the mark */

	assert(out_bytes >= 8);
	while (*text) {
		char shown[8];
		size_t taken = print((const unsigned char *)text, shown), byte_count = strlen(shown);

		if (used + byte_count >= out_bytes) {
			memcpy(out + last_cut, cut_mark, sizeof cut_mark);
			return;
		}
		memcpy(out + used, shown, byte_count);
		used += byte_count;
		text += taken;
		if (used + sizeof cut_mark <= out_bytes)
			last_cut = used;
	}
	out[used] = '\0';
}

void printable_escape(char *out, size_t out_bytes, const char *text)
{
	print_characters(out, out_bytes, text, escape_character);
}

void printable_utf8(char *out, size_t out_bytes, const char *text)
{
	print_characters(out, out_bytes, text, replace_character);
}
