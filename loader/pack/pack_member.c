/*
 * pack_member.c - part of `cropring pack`: the name of a tar's member, found backwards from its data.  Any thread.
 *
 * Before the data stands the member's header; before that, where the name is too long or in other letters, perhaps one that tells the
 * name (pax, GNU), with its own data of a few blocks.
 */
#include "loader/pack/pack_member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/pack/pack_io.h"
#include "loader/plan/tar/tar_header.h"

enum { EXTRA_BLOCKS = 16 }; /* of data that tells a name; real ones have one or two */

/* What the extra header at `block` and the data behind it say, if they end where the member's header begins. */
static bool read_extra(const uint8_t *block, size_t data_blocks, struct tar_pax *pax)
{
	const char *data = (const char *)block + TAR_BLOCK_BYTES;
	struct tar_header header;

	*pax = (struct tar_pax){0};
	if (tar_header_read(block, &header) || (header.size_bytes + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES != data_blocks)
		return false;
	if (header.type == TAR_PAX)
		return !tar_pax_read(data, header.size_bytes, pax);
	if (header.type != TAR_LONG_NAME || header.size_bytes > TAR_NAME_MAX_CHARS)
		return false;
	snprintf(pax->name, sizeof pax->name, "%.*s", (int)header.size_bytes, data);
	return true;
}

bool pack_member_name(int fd, uint64_t offset, char *name, size_t name_bytes)
{
	uint8_t blocks[(EXTRA_BLOCKS + 2) * TAR_BLOCK_BYTES], *last = blocks + sizeof blocks - TAR_BLOCK_BYTES;
	size_t byte_count = offset < sizeof blocks ? (size_t)offset : sizeof blocks;
	struct tar_header header;
	struct tar_pax pax;
	const char *found = header.name;

	if (byte_count < TAR_BLOCK_BYTES ||
	    pack_io_read(fd, blocks + sizeof blocks - byte_count, byte_count, offset - byte_count) < 0 ||
	    tar_header_read(last, &header) || header.type != TAR_FILE)
		return false;
	for (size_t data_blocks = 1; data_blocks <= EXTRA_BLOCKS && (data_blocks + 2) * TAR_BLOCK_BYTES <= byte_count;
	     data_blocks++) {
		if (read_extra(last - (data_blocks + 1) * TAR_BLOCK_BYTES, data_blocks, &pax)) {
			found = *pax.name ? pax.name : header.name;
			break;
		}
	}
	while (strncmp(found, "./", 2) == 0)
		found += 2;
	return !tar_name_fault(found) && snprintf(name, name_bytes, "%s", found) < (int)name_bytes;
}
