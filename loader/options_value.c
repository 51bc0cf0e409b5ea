/*
 * options_value.c - one flag's text in, its value in its field out.  One thread, before any work.
 *
 * Reading is strict: no spaces, no signs where none belong, nothing after the value, no silent clamping.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "loader/options_internal.h"

/* The two halves of a size or of a pair are written as neighbours. */
static_assert(offsetof(struct options, width_px) == offsetof(struct options, height_px) + sizeof(uint32_t), "height, width");
static_assert(offsetof(struct options, scale_max) == offsetof(struct options, scale_min) + sizeof(double), "scale");
static_assert(offsetof(struct options, ratio_max) == offsetof(struct options, ratio_min) + sizeof(double), "ratio");

/* Fields are written by memcpy(): enums, signed and unsigned numbers alike, and neighbours together. */
static char *field_of(void *fields, const struct options_flag *flag)
{
	return (char *)fields + flag->offset_bytes;
}

/* How many numbers --mean and --std may be; no other command has the like. */
static uint32_t channels_of(const void *fields, const struct options_flag *flag)
{
	return flag->kind == KIND_VECTOR ? ((const struct options *)fields)->channels : 0;
}

bool options_value_whole(const char *text, bool suffix, uint64_t *value)
{
	static const char suffixes[] = "KMG";
	uint64_t sum = 0;

	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(sum, 10u, &sum) || __builtin_add_overflow(sum, (uint64_t)(*text - '0'), &sum))
			return false;
	if (suffix && *text) {
		const char *found = strchr(suffixes, *text++);

		for (int powers = found ? (int)(found - suffixes) + 1 : 0; powers > 0; powers--)
			if (__builtin_mul_overflow(sum, 1024u, &sum))
				return false;
		if (!found)
			return false;
	}
	*value = sum;
	return !*text;
}

void options_value_list(const char *choices, char *text, size_t text_bytes)
{
	size_t used = 0;

	text[0] = '\0';
	while (*choices && used < text_bytes) {
		size_t length = strcspn(choices, "|");
		const char *next = choices + length + (choices[length] == '|');
		const char *joint = !*next ? "" : strchr(next, '|') ? ", " : " or ";

		used += (size_t)snprintf(text + used, text_bytes - used, "%.*s%s", (int)length, choices, joint);
		choices = next;
	}
}

static bool read_within(const struct options_flag *flag, const char *text, uint64_t *value)
{
	uint64_t least, most;
	bool suffix = flag->kind == KIND_QUANTITY;

	return options_value_whole(flag->minimum, suffix, &least) && options_value_whole(flag->maximum, suffix, &most) &&
	       options_value_whole(text, suffix, value) && *value >= least && *value <= most;
}

static bool read_zero(const char *text, uint64_t *value)
{
	return options_value_whole(text, false, value) && *value == 0;
}

/* strtod() alone would take spaces, hexadecimals, "inf" and "nan" as well; "1e999" is out of every range. */
static bool read_real(const char *text, size_t length, double *value)
{
	char number[64], *end;

	if (length == 0 || length >= sizeof number || strspn(text, "0123456789.eE+-") < length || *text == '+')
		return false;
	memcpy(number, text, length);
	number[length] = '\0';
	*value = strtod(number, &end);
	return !*end;
}

static bool read_real_within(const struct options_flag *flag, const char *text, double *value)
{
	return read_real(text, strlen(text), value) && *value >= strtod(flag->minimum, NULL) &&
	       *value <= strtod(flag->maximum, NULL);
}

/* As many numbers as there are commas and one more: their count, or 0 when one of them is none or there are too many. */
static uint32_t read_reals(const char *text, double *values, uint32_t capacity)
{
	uint32_t count = 0;

	for (;;) {
		size_t length = strcspn(text, ",");

		if (count == capacity || !read_real(text, length, &values[count]))
			return 0;
		count++;
		if (!text[length])
			return count;
		text += length + 1;
	}
}

static bool read_size(const struct options_flag *flag, const char *text, uint32_t size_px[2])
{
	char first[8];
	size_t length = strcspn(text, "x");
	uint64_t height_px, width_px;

	if (length >= sizeof first)
		return false;
	memcpy(first, text, length);
	first[length] = '\0';
	if (!read_within(flag, first, &height_px) || !read_within(flag, text[length] ? text + length + 1 : first, &width_px))
		return false;
	size_px[0] = (uint32_t)height_px;
	size_px[1] = (uint32_t)width_px;
	return true;
}

static bool read_pair(const struct options_flag *flag, const char *text, double pair[2])
{
	return read_reals(text, pair, 2) == 2 && pair[0] > strtod(flag->minimum, NULL) && pair[0] <= pair[1] &&
	       pair[1] <= strtod(flag->maximum, NULL);
}

static bool read_vector(const struct options_flag *flag, const char *text, uint32_t channels, float vector[3])
{
	double values[3], least = strtod(flag->minimum, NULL), most = strtod(flag->maximum, NULL);
	uint32_t count = read_reals(text, values, 3);

	if (count != 1 && count != channels)
		return false;
	for (uint32_t i = 0; i < 3; i++) {
		double value = values[i < count ? i : 0];

		if (value < least || value > most)
			return false;
		vector[i] = (float)value;
	}
	return true;
}

static bool read_choice(const char *choices, const char *text, uint32_t *place)
{
	size_t text_length = strlen(text);

	for (*place = 0;; ++*place) {
		size_t length = strcspn(choices, "|");

		if (length == text_length && !memcmp(choices, text, length))
			return true;
		if (!choices[length])
			return false;
		choices += length + 1;
	}
}

static bool read_switch(const char *text, bool *value)
{
	uint32_t place;

	if (!read_choice("no|yes|off|on|false|true|0|1", text, &place))
		return false;
	*value = place % 2;
	return true;
}

/* "17,4,99". */
static bool is_list_of_numbers(const char *text)
{
	for (;;) {
		size_t length = strcspn(text, ",");
		char number[24];
		uint64_t value;

		if (length >= sizeof number)
			return false;
		memcpy(number, text, length);
		number[length] = '\0';
		if (!options_value_whole(number, false, &value))
			return false;
		if (!text[length])
			return true;
		text += length + 1;
	}
}

static bool is_text_of(enum options_kind kind, const char *text)
{
	size_t length = strlen(text);

	if (kind == KIND_RING_NAME)
		return length > 0 && length < SHMRING_NAME_BYTES &&
		       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == length;
	if (kind == KIND_NUMBERS)
		return is_list_of_numbers(text);
	if (kind == KIND_SOCKET_PATH)
		return length > 0 && length < sizeof((struct sockaddr_un *)0)->sun_path;
	return length > 0;
}

/* What the flag wants, to follow "is not". */
static void describe_wanted(const struct options_flag *flag, uint32_t channels, char *wanted, size_t bytes)
{
	const char *least = flag->minimum, *most = flag->maximum;

	switch (flag->kind) {
	case KIND_U32:
	case KIND_U64:
	case KIND_I32:
		if (strcmp(least, most) != 0)
			snprintf(wanted, bytes, "a whole number between %s and %s", least, most);
		else
			snprintf(wanted, bytes, "%s", least);
		break;
	case KIND_QUANTITY:
		snprintf(wanted, bytes, "a whole number between %s and %s; K, M and G stand for powers of 1024", least, most);
		break;
	case KIND_SLOTS:
		snprintf(wanted, bytes, "a whole number between %s and %s, or 0 to choose one", least, most);
		break;
	case KIND_SIZE:
		snprintf(wanted, bytes, "a side in pixels or HEIGHTxWIDTH, each a whole number between %s and %s", least, most);
		break;
	case KIND_REAL:
		snprintf(wanted, bytes, "a number between %s and %s", least, most);
		break;
	case KIND_PAIR:
		snprintf(wanted, bytes, "MIN,MAX with %s < MIN <= MAX <= %s", least, most);
		break;
	case KIND_VECTOR:
		if (channels > 1)
			snprintf(wanted, bytes, "one number or %u with commas between them, each between %s and %s", channels,
			         least, most);
		else
			snprintf(wanted, bytes, "one number between %s and %s", least, most);
		break;
	case KIND_CHOICE:
	case KIND_CHOSEN_NUMBER:
		options_value_list(flag->choices, wanted, bytes);
		break;
	case KIND_SWITCH:
	case KIND_LEVEL:
		snprintf(wanted, bytes, "yes or no");
		break;
	case KIND_TEXT:
		snprintf(wanted, bytes, "a value");
		break;
	case KIND_NUMBERS:
		snprintf(wanted, bytes, "whole numbers with commas between them");
		break;
	case KIND_RING_NAME:
		snprintf(wanted, bytes, "a name of 1 to %d of the characters A-Z a-z 0-9 . _ -", SHMRING_NAME_BYTES - 1);
		break;
	case KIND_SOCKET_PATH:
		snprintf(wanted, bytes, "a path of 1 to %zu bytes, as sockets have it",
		         sizeof((struct sockaddr_un *)0)->sun_path - 1);
		break;
	}
}

static int refuse(uint32_t channels, const struct options_flag *flag, const char *origin, const char *text, struct err *err)
{
	char wanted[200];

	describe_wanted(flag, channels, wanted, sizeof wanted);
	return err_fail(err, -EINVAL, "%s: '%.100s' is not %s", origin, text, wanted);
}

int options_value_set(void *fields, const struct options_flag *flag, const char *origin, const char *text, struct err *err)
{
	uint32_t channels = channels_of(fields, flag);
	union {
		uint64_t whole;
		uint32_t number, size_px[2];
		double real[2];
		float vector[3];
		bool on;
		int level;
	} value;
	size_t byte_count = 0; /* of `value` that the field takes; stays 0 when the text does not fit the flag */

	switch (flag->kind) {
	case KIND_U32:
	case KIND_I32:
	case KIND_SLOTS:
		if (read_within(flag, text, &value.whole) || (flag->kind == KIND_SLOTS && read_zero(text, &value.whole))) {
			value.number = (uint32_t)value.whole;
			byte_count = sizeof value.number;
		}
		break;
	case KIND_U64:
	case KIND_QUANTITY:
		if (read_within(flag, text, &value.whole))
			byte_count = sizeof value.whole;
		break;
	case KIND_SIZE:
		if (read_size(flag, text, value.size_px))
			byte_count = sizeof value.size_px;
		break;
	case KIND_REAL:
		if (read_real_within(flag, text, &value.real[0]))
			byte_count = sizeof value.real[0];
		break;
	case KIND_PAIR:
		if (read_pair(flag, text, value.real))
			byte_count = sizeof value.real;
		break;
	case KIND_VECTOR:
		if (read_vector(flag, text, channels, value.vector))
			byte_count = sizeof value.vector;
		break;
	case KIND_CHOICE:
		if (read_choice(flag->choices, text, &value.number))
			byte_count = sizeof value.number;
		break;
	case KIND_CHOSEN_NUMBER:
		if (read_choice(flag->choices, text, &value.number)) {
			value.number = (uint32_t)strtoul(text, NULL, 10);
			byte_count = sizeof value.number;
		}
		break;
	case KIND_SWITCH:
		if (read_switch(text, &value.on))
			byte_count = sizeof value.on;
		break;
	case KIND_LEVEL:
		if (read_switch(text, &value.on)) {
			if (!value.on)
				return 0; /* the level stays */
			value.level = (int)strtol(flag->minimum, NULL, 10);
			byte_count = sizeof value.level;
		}
		break;
	case KIND_TEXT:
	case KIND_NUMBERS:
	case KIND_RING_NAME:
	case KIND_SOCKET_PATH:
		if (is_text_of(flag->kind, text)) {
			memcpy(field_of(fields, flag), &text, sizeof text);
			return 0;
		}
		break;
	}
	if (!byte_count)
		return refuse(channels, flag, origin, text, err);
	memcpy(field_of(fields, flag), &value, byte_count);
	return 0;
}
