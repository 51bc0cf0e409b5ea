/* tar_header.c - part of stage 1 of 5: bytes of a tar header in, what they say out.  Any thread. */
#include "loader/plan/tar/tar_header.h"

#include <string.h>

/* Where the fields of a header are, and how many bytes they have. */
struct field {
	uint16_t at, bytes;
};

static const struct field name_field = {0, 100}, size_field = {124, 12}, checksum_field = {148, 8}, type_field = {156, 1},
			  magic_field = {257, 6}, prefix_field = {345, 155};

/* ------------------------------------------------------------------ numbers */

/* Octal digits between spaces or NULs; none is 0. */
static bool read_octal(const uint8_t *bytes, size_t byte_count, uint64_t *number)
{
	size_t i = 0;

	*number = 0;
	while (i < byte_count && bytes[i] == ' ')
		i++;
	for (; i < byte_count && bytes[i] >= '0' && bytes[i] <= '7'; i++)
		*number = *number << 3 | (uint64_t)(bytes[i] - '0'); /* 12 digits at most: 36 bits */
	for (; i < byte_count; i++)
		if (bytes[i] != ' ' && bytes[i] != '\0')
			return false;
	return true;
}

/* GNU's way for what is too large for that: the first bit is set, and the others are a signed number, the highest byte first. */
static bool read_binary(const uint8_t *bytes, size_t byte_count, uint64_t *number)
{
	*number = bytes[0] & 0x7f; /* one that is negative is too large as well */
	for (size_t i = 1; i < byte_count; i++) {
		if (*number > (uint64_t)INT64_MAX >> 8)
			return false;
		*number = *number << 8 | bytes[i];
	}
	return true;
}

/* The sum of all bytes, those of the checksum counted as spaces.  Some old programs took bytes for signed. */
static bool has_checksum(const uint8_t *block)
{
	uint64_t told, sum = ' ' * (uint64_t)checksum_field.bytes;
	int64_t signed_sum = (int64_t)sum;

	if (!read_octal(block + checksum_field.at, checksum_field.bytes, &told))
		return false;
	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
		if (i >= checksum_field.at && i < (size_t)checksum_field.at + checksum_field.bytes)
			continue;
		sum += block[i];
		signed_sum += (int8_t)block[i];
	}
	return told == sum || (signed_sum >= 0 && told == (uint64_t)signed_sum);
}

/* ------------------------------------------------------------------ one block */

static enum tar_type type_of(char flag, const char *name)
{
	size_t chars = strlen(name);

	switch (flag) {
	case '\0': /* before there was a flag for folders, their names ended so */
		return chars > 0 && name[chars - 1] == '/' ? TAR_FOLDER : TAR_FILE;
	case '0':
	case '7': /* "contiguous" */
		return TAR_FILE;
	case '1':
	case '2':
		return TAR_LINK;
	case '3':
	case '4':
	case '6':
		return TAR_DEVICE;
	case '5':
		return TAR_FOLDER;
	case 'L':
		return TAR_LONG_NAME;
	case 'K':
		return TAR_LONG_LINK;
	case 'x':
		return TAR_PAX;
	case 'g':
		return TAR_PAX_GLOBAL;
	case 'S':
		return TAR_SPARSE;
	case 'V':
		return TAR_LABEL;
	default:
		return TAR_UNKNOWN;
	}
}

/* Appends a field that may, but need not, end with a NUL. */
static void append(char *name, const uint8_t *block, struct field field)
{
	size_t chars = strlen(name), more = strnlen((const char *)block + field.at, field.bytes);

	memcpy(name + chars, block + field.at, more);
	name[chars + more] = '\0';
}

static bool is_zero(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, TAR_BLOCK_BYTES - 1) == 0;
}

const char *tar_header_read(const uint8_t *block, struct tar_header *header)
{
	const uint8_t *size = block + size_field.at;

	*header = (struct tar_header){.type = TAR_END};
	if (is_zero(block))
		return NULL;
	if (!has_checksum(block))
		return "no header: its checksum is not that of its bytes";
	/* With "ustar" and two spaces it is GNU's, where other things stand in place of the prefix. */
	if (memcmp(block + magic_field.at, "ustar", magic_field.bytes) == 0 && block[prefix_field.at] != '\0') {
		append(header->name, block, prefix_field);
		strcat(header->name, "/");
	}
	append(header->name, block, name_field);
	header->type_flag = (char)block[type_field.at];
	header->type = type_of(header->type_flag, header->name);
	if (size[0] & 0x80 ? !read_binary(size, size_field.bytes, &header->size_bytes)
	                   : !read_octal(size, size_field.bytes, &header->size_bytes))
		return "its size is no number, or no size that a file can have";
	if (header->type >= TAR_FOLDER)
		header->size_bytes = 0;
	return NULL;
}

/* ------------------------------------------------------------------ pax records */

static bool read_decimal(const char *digits, size_t count, uint64_t *number)
{
	*number = 0;
	if (count == 0 || count > 18) /* so that nothing overflows; no file is larger */
		return false;
	for (size_t i = 0; i < count; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return false;
		*number = *number * 10 + (uint64_t)(digits[i] - '0');
	}
	return true;
}

static bool is_key(const char *record, size_t key_chars, const char *key)
{
	return key_chars == strlen(key) && memcmp(record, key, key_chars) == 0;
}

/* "key=value", of which an empty value takes back what a global header said. */
static const char *read_record(const char *record, size_t chars, struct tar_pax *pax)
{
	const char *equals = memchr(record, '=', chars), *value;
	size_t key_chars, value_chars;

	if (!equals)
		return "a pax record without a value";
	key_chars = (size_t)(equals - record);
	value = equals + 1;
	value_chars = chars - key_chars - 1;
	if (is_key(record, key_chars, "path")) {
		if (value_chars > TAR_NAME_MAX_CHARS || memchr(value, '\0', value_chars))
			return "a pax record of a path that no file can have";
		memcpy(pax->name, value, value_chars);
		pax->name[value_chars] = '\0';
	} else if (is_key(record, key_chars, "size")) {
		pax->has_size = value_chars > 0;
		if (pax->has_size && !read_decimal(value, value_chars, &pax->size_bytes))
			return "a pax record of a size that no file can have";
	} else if (key_chars >= 11 && memcmp(record, "GNU.sparse.", 11) == 0) {
		pax->is_sparse = true;
	}
	return NULL;
}

const char *tar_pax_read(const char *records, size_t byte_count, struct tar_pax *pax)
{
	const char *fault = NULL;

	/* Each is "length key=value\n", where length counts all of it, its own digits too. */
	while (!fault && byte_count > 0) {
		const char *space = memchr(records, ' ', byte_count < 20 ? byte_count : 20);
		size_t digits = space ? (size_t)(space - records) : 0;
		uint64_t length;

		if (!read_decimal(records, digits, &length) || length > byte_count || length < digits + 2 ||
		    records[length - 1] != '\n')
			return "a pax record whose length is not its length";
		fault = read_record(space + 1, length - digits - 2, pax);
		records += length;
		byte_count -= length;
	}
	return fault;
}

/* ------------------------------------------------------------------ names */

const char *tar_name_fault(const char *name)
{
	if (name[0] == '\0')
		return "without a name";
	if (name[0] == '/')
		return "with an absolute name";
	for (const char *part = name; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || part[2] == '\0'))
			return "whose name leads out of the archive";
	}
	return NULL;
}
