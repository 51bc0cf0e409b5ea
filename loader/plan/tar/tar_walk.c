/* tar_walk.c - part of stage 1 of 5: a tar archive in, where each of its files begins and ends out.  One thread for each walk. */
#include "loader/plan/tar/tar_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_EXTRA_HEADERS = 16 }; /* before one member; two or three are usual */

/* ------------------------------------------------------------------ messages */

/* Says where, in an archive. */
__attribute__((format(printf, 4, 5))) static int refuse(const struct tar_walk *walk, uint64_t at, struct err *err,
                                                        const char *format, ...)
{
	char what[sizeof err->text];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	return err_fail(err, -EINVAL, "%.200s at byte %llu: %.280s", walk->name, (unsigned long long)at, what);
}

/* ------------------------------------------------------------------ bytes */

static int read_fully(struct tar_walk *walk, uint64_t offset, uint8_t *bytes, size_t count, struct err *err)
{
	while (count > 0) {
		ssize_t got = pread(walk->fd, bytes, count, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_fail(err, -errno, "%s: cannot be read at byte %llu: %s", walk->name, (unsigned long long)offset,
			                strerror(errno));
		if (got == 0)
			return refuse(walk, offset, err, "the archive became shorter while it was read");
		bytes += got;
		offset += (uint64_t)got;
		count -= (size_t)got;
	}
	return 0;
}

int tar_walk_read(struct tar_walk *walk, uint64_t offset, void *bytes, size_t count, struct err *err)
{
	uint64_t left = walk->file_bytes - offset;
	int rc;

	if (count > TAR_WINDOW_BYTES)
		return read_fully(walk, offset, bytes, count, err);
	if (offset < walk->window_at || offset - walk->window_at > walk->window_bytes ||
	    count > walk->window_bytes - (offset - walk->window_at)) {
		walk->window_at = offset;
		walk->window_bytes = left < TAR_WINDOW_BYTES ? (size_t)left : TAR_WINDOW_BYTES;
		rc = read_fully(walk, offset, walk->window, walk->window_bytes, err);
		if (rc < 0) {
			walk->window_bytes = 0;
			return rc;
		}
	}
	memcpy(bytes, walk->window + (offset - walk->window_at), count);
	return 0;
}

/* ------------------------------------------------------------------ the beginning */

/* What compressed files begin with. */
static const char *compression_of(const uint8_t begin[6])
{
	static const struct {
		const char *name, *begin;
		size_t bytes;
	} kinds[] = {
		{"gzip", "\x1f\x8b", 2},
		{"zstd", "\x28\xb5\x2f\xfd", 4},
		{"bzip2", "BZh", 3},
		{"xz",
	         "\xfd"
	         "7zXZ",
	         6},
		{"lz4", "\x04\x22\x4d\x18", 4},
	};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (memcmp(begin, kinds[i].begin, kinds[i].bytes) == 0)
			return kinds[i].name;
	return NULL;
}

int tar_walk_open(struct tar_walk *walk, int fd, const char *name, struct err *err)
{
	const char *compression;
	struct stat status;
	uint8_t begin[6] = {0};
	int rc;

	*walk = (struct tar_walk){.fd = fd, .name = name};
	if (fstat(fd, &status) != 0)
		return err_fail(err, -errno, "%s: %s", name, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return err_fail(err, -EINVAL, "%s: not a regular file; expected a tar archive", name);
	walk->file_bytes = (uint64_t)status.st_size;
	if (walk->file_bytes >= sizeof begin) {
		rc = tar_walk_read(walk, 0, begin, sizeof begin, err);
		if (rc < 0)
			return rc;
	}
	compression = compression_of(begin);
	if (compression)
		return err_fail(err, -EINVAL,
		                "%s: compressed with %s; images are read from where they lie, so unpack it to a plain .tar", name,
		                compression);
	if (walk->file_bytes < TAR_BLOCK_BYTES)
		return err_fail(err, -EINVAL, "%s: %llu bytes; a tar archive has at least %u", name,
		                (unsigned long long)walk->file_bytes, TAR_BLOCK_BYTES);
	return 0;
}

void tar_walk_close(struct tar_walk *walk)
{
	free(walk->extra);
	walk->extra = NULL;
}

/* ------------------------------------------------------------------ headers that tell of the next one */

/* Its data, into walk->extra. */
static int read_extra(struct tar_walk *walk, uint64_t header_at, uint64_t data_at, const struct tar_header *header, struct err *err)
{
	size_t wanted = (size_t)header->size_bytes + 1;
	char *larger;
	int rc;

	if (header->size_bytes > TAR_EXTRA_MAX_BYTES)
		return refuse(walk, header_at, err, "a header of type '%c' with %llu bytes; at most %u are allowed",
		              header->type_flag, (unsigned long long)header->size_bytes, TAR_EXTRA_MAX_BYTES);
	if (wanted > walk->extra_capacity_bytes) {
		larger = realloc(walk->extra, wanted);
		if (!larger)
			return err_fail(err, -ENOMEM, "%s: out of memory", walk->name);
		walk->extra = larger;
		walk->extra_capacity_bytes = wanted;
	}
	rc = tar_walk_read(walk, data_at, walk->extra, (size_t)header->size_bytes, err);
	walk->extra[header->size_bytes] = '\0';
	return rc;
}

/* What the headers before a member said of it. */
struct told {
	struct tar_pax pax;
	char long_name[TAR_NAME_MAX_CHARS + 1];
};

/* Not all of its 8 KB, for each member anew. */
static void forget(struct told *told)
{
	told->pax.has_size = told->pax.is_sparse = false;
	told->pax.name[0] = told->long_name[0] = '\0';
}

static uint64_t length_of(const struct tar_walk *walk, const struct tar_header *header, const struct told *told)
{
	if (header->type == TAR_FILE && told->pax.has_size)
		return told->pax.size_bytes;
	if (header->type == TAR_FILE && walk->global.has_size)
		return walk->global.size_bytes;
	return header->size_bytes;
}

static const char *name_of(const struct tar_walk *walk, const struct tar_header *header, const struct told *told)
{
	if (told->pax.name[0])
		return told->pax.name;
	if (told->long_name[0])
		return told->long_name;
	return walk->global.name[0] ? walk->global.name : header->name;
}

static int take_extra(struct tar_walk *walk, uint64_t header_at, uint64_t data_at, const struct tar_header *header,
                      struct told *told, struct err *err)
{
	const char *fault = NULL;
	int rc = read_extra(walk, header_at, data_at, header, err);

	if (rc < 0)
		return rc;
	if (header->type == TAR_LONG_NAME) {
		size_t chars = strlen(walk->extra);

		if (chars > TAR_NAME_MAX_CHARS)
			return refuse(walk, header_at, err, "a name of %zu characters; at most %u are allowed", chars,
			              TAR_NAME_MAX_CHARS);
		memcpy(told->long_name, walk->extra, chars + 1);
	} else if (header->type == TAR_PAX) {
		fault = tar_pax_read(walk->extra, (size_t)header->size_bytes, &told->pax);
	} else if (header->type == TAR_PAX_GLOBAL) {
		fault = tar_pax_read(walk->extra, (size_t)header->size_bytes, &walk->global);
	}
	return fault ? refuse(walk, header_at, err, "%s", fault) : 0;
}

/* ------------------------------------------------------------------ members */

/* The header at walk->next_at: 1; 0: there is no more. */
static int read_header(struct tar_walk *walk, struct tar_header *header, struct err *err)
{
	uint64_t at = walk->next_at, left;
	uint8_t block[TAR_BLOCK_BYTES];
	const char *fault;
	int rc;

	if (at >= walk->file_bytes) /* as when two archives' ends were forgotten; every tar accepts it */
		return 0;
	left = walk->file_bytes - at;
	if (left < TAR_BLOCK_BYTES)
		return refuse(walk, at, err, "the archive ends within a header, after %llu of %u bytes", (unsigned long long)left,
		              TAR_BLOCK_BYTES);
	rc = tar_walk_read(walk, at, block, sizeof block, err);
	if (rc < 0)
		return rc;
	fault = tar_header_read(block, header);
	if (fault)
		return refuse(walk, at, err, "%s", fault);
	return header->type != TAR_END;
}

/* Goes on behind `length` bytes of data, which must be there; the zeros that fill up their last block may be missing. */
static int skip_data(struct tar_walk *walk, uint64_t header_at, uint64_t data_at, uint64_t length, struct err *err)
{
	if (length > walk->file_bytes - data_at)
		return refuse(walk, header_at, err,
		              "a member of %llu bytes, of which the archive, of %llu bytes, holds %llu: it is cut",
		              (unsigned long long)length, (unsigned long long)walk->file_bytes,
		              (unsigned long long)(walk->file_bytes - data_at));
	walk->next_at = data_at + (length + TAR_BLOCK_BYTES - 1) / TAR_BLOCK_BYTES * TAR_BLOCK_BYTES;
	return 0;
}

/* What cannot be read by offset, or should not be there. */
static int check_member(const struct tar_walk *walk, uint64_t header_at, const struct tar_header *header, const struct told *told,
                        const char *name, struct err *err)
{
	const char *fault = tar_name_fault(name);

	if (header->type == TAR_SPARSE || told->pax.is_sparse || walk->global.is_sparse)
		return refuse(walk, header_at, err,
		              "%.120s is a sparse file, which cannot be read in one piece; make it without --sparse", name);
	if (header->type == TAR_LINK)
		return refuse(walk, header_at, err,
		              "%.120s is a link; expected a file: make it with --dereference --hard-dereference", name);
	if (header->type == TAR_DEVICE)
		return refuse(walk, header_at, err, "%.120s is a device or a FIFO; expected a file", name);
	if (header->type == TAR_UNKNOWN)
		return refuse(walk, header_at, err, "%.120s is of type '%c', which is not known; expected a file", name,
		              header->type_flag >= ' ' && header->type_flag <= '~' ? header->type_flag : '?');
	return fault ? refuse(walk, header_at, err, "a member %s: \"%.120s\"", fault, name) : 0;
}

int tar_walk_next(struct tar_walk *walk, struct tar_member *member, struct err *err)
{
	uint64_t first_at = walk->next_at, data_at, length;
	struct tar_header header;
	const char *name;
	struct told told;
	int rc;

	forget(&told);
	for (int extra_count = 0;;) {
		rc = read_header(walk, &header, err);
		if (rc <= 0)
			return rc;
		data_at = walk->next_at + TAR_BLOCK_BYTES;
		length = length_of(walk, &header, &told);
		rc = skip_data(walk, first_at, data_at, length, err);
		if (rc < 0)
			return rc;
		if (header.type >= TAR_LONG_NAME && header.type <= TAR_PAX_GLOBAL) {
			if (++extra_count > MOST_EXTRA_HEADERS)
				return refuse(walk, first_at, err, "more than %d headers before a member", MOST_EXTRA_HEADERS);
			rc = take_extra(walk, data_at - TAR_BLOCK_BYTES, data_at, &header, &told, err);
			if (rc < 0)
				return rc;
			continue;
		}
		name = name_of(walk, &header, &told);
		rc = header.type == TAR_LABEL ? 0 : check_member(walk, first_at, &header, &told, name, err);
		if (rc < 0)
			return rc;
		if (header.type == TAR_FILE)
			break;
		forget(&told); /* it was a folder, or the archive's label */
		first_at = walk->next_at;
		extra_count = 0;
	}
	member->header_at = first_at;
	member->offset = data_at;
	member->length = length;
	strcpy(member->name, name);
	return 1;
}
