/*
 * tar_header.h - part of stage 1 of 5: one header of a tar archive in, what it says out.
 *
 * POSIX.1-1988 (ustar), its forerunner without a magic, GNU tar's (`info tar`, "Basic Tar Format"), and the extended headers of
 * POSIX.1-2001 (pax).  Nothing here reads a file: bytes in, numbers and names out, whatever the bytes are.
 */
#ifndef CROPRING_TAR_HEADER_H
#define CROPRING_TAR_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK_BYTES     512u
#define TAR_NAME_MAX_CHARS  4095u      /* of one member; what Linux can make */
#define TAR_EXTRA_MAX_BYTES (1u << 20) /* of one header that tells of the next member: names and attributes, no data */

enum tar_type {
	TAR_END,        /* a block of zeros */
	TAR_FILE,       /* `size_bytes` of data follow, as after the next six */
	TAR_LONG_NAME,  /* the name of the member that comes next; GNU */
	TAR_LONG_LINK,  /* where that one, a link, leads to; GNU */
	TAR_PAX,        /* records for the member that comes next */
	TAR_PAX_GLOBAL, /* records for all members from here on */
	TAR_SPARSE,     /* a file with holes; GNU */
	TAR_UNKNOWN,    /* no data can be told of */
	TAR_FOLDER,     /* no data follows, as after the next three */
	TAR_LABEL,      /* of the archive; GNU */
	TAR_LINK,       /* a hard or a symbolic link */
	TAR_DEVICE,     /* or a FIFO */
};

struct tar_header {
	enum tar_type type;
	char type_flag; /* as it stands there */
	uint64_t size_bytes;
	char name[257];
};

/* NULL, or what is wrong with these TAR_BLOCK_BYTES bytes. */
const char *tar_header_read(const uint8_t *block, struct tar_header *header);

/* What pax records say of a member; a name that is "" is not told. */
struct tar_pax {
	bool has_size, is_sparse;
	uint64_t size_bytes;
	char name[TAR_NAME_MAX_CHARS + 1];
};

/* Takes what the records say into *pax, which keeps what they do not mention.  NULL, or what is wrong with them. */
const char *tar_pax_read(const char *records, size_t byte_count, struct tar_pax *pax);

/* NULL, or what is wrong with a member of this name: it would lie outside of the folder in which the archive is unpacked. */
const char *tar_name_fault(const char *name);

#endif
