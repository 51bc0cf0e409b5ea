/* pack_member.h - part of `cropring pack`: where an image lies in a tar archive in, its name there out.  Any thread. */
#ifndef CROPRING_PACK_MEMBER_H
#define CROPRING_PACK_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACK_NAME_BYTES = 8192 };

/*
 * The name of the member whose data begins at `offset` of this archive, from the header before it.  False: there is no header that
 * could be understood, or its name leads out of the archive.
 */
bool pack_member_name(int fd, uint64_t offset, char *name, size_t name_bytes);

#endif
