/*
 * blank_pack.c - a pack of images that nobody reads: header and index are whole, all between is a hole in the file.
 *
 *   blank_pack SAMPLES SHARDS OUT.pack      1,000 classes, names as ImageNet has them; 0 shards: the images are in OUT.pack
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "loader/plan/index/index_build.h"
#include "loader/plan/pack/pack_file.h"

enum { CLASSES = 1000, IMAGE_BYTES = 114688, WIDTH_PX = 488, HEIGHT_PX = 417 }; /* means of ImageNet */

static void give_up(const char *what)
{
	fprintf(stderr, "blank_pack: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int make_index(uint64_t sample_count, uint32_t shard_count)
{
	struct index_build *build = index_build_open(INDEX_HAS(INDEX_OFFSET) | INDEX_HAS(INDEX_LENGTH) | INDEX_HAS(INDEX_IMAGE) |
	                                             (shard_count ? INDEX_HAS(INDEX_SHARD) : 0));
	uint64_t per_shard = shard_count ? (sample_count + shard_count - 1) / shard_count : sample_count;
	char name[64];
	int rc = build ? 0 : -ENOMEM, fd;

	for (int class = 0; rc == 0 && class < CLASSES; class ++) {
		snprintf(name, sizeof name, "n%08d", class);
		rc = index_build_class(build, name);
	}
	for (uint64_t i = 0; rc == 0 && i < sample_count; i++) {
		struct index_row row = {.path = name,
		                        .label = (int64_t)(i * CLASSES / sample_count),
		                        .offset = PACK_HEADER_BYTES + i % per_shard * IMAGE_BYTES,
		                        .length = IMAGE_BYTES - 100,
		                        .image = {.width_px = WIDTH_PX,
		                                  .height_px = HEIGHT_PX,
		                                  .format = 1,
		                                  .orientation = 1,
		                                  .channels = 3,
		                                  .sample_bits = 8},
		                        .shard = i / per_shard};

		snprintf(name, sizeof name, "n%08" PRId64 "/n%08" PRId64 "_%06" PRIu64 ".JPEG", row.label, row.label, i);
		rc = index_build_add(build, &row);
	}
	fd = rc ? rc : index_build_finish(build, "nowhere");
	index_build_close(build);
	if (fd < 0) {
		errno = -fd;
		give_up("index");
	}
	return fd;
}

/* A file with this header, whose images are a hole, and the index behind it. */
static void write_file(const char *path, struct pack_header header, int index_fd)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	off_t at = 0;

	memcpy(header.magic, PACK_MAGIC, sizeof header.magic);
	header.check = XXH3_64bits(&header, offsetof(struct pack_header, check));
	if (fd < 0 || pwrite(fd, &header, sizeof header, 0) != sizeof header || ftruncate(fd, (off_t)header.file_bytes) != 0)
		give_up(path);
	if (header.index_bytes > 0 && lseek(fd, (off_t)header.index_at, SEEK_SET) < 0)
		give_up(path);
	while ((uint64_t)at < header.index_bytes)
		if (sendfile(fd, index_fd, &at, header.index_bytes - (uint64_t)at) <= 0)
			give_up(path);
	close(fd);
}

int main(int argc, char **argv)
{
	struct pack_header header = {.shard_number = PACK_NO_SHARD, .id = "a blank pack"}, shard;
	uint64_t sample_count = argc == 4 ? strtoull(argv[1], NULL, 10) : 0, per_shard = sample_count;
	struct stat status;
	int index_fd;

	if (sample_count == 0) {
		fputs("usage: blank_pack SAMPLES SHARDS OUT.pack\n", stderr);
		return 2;
	}
	header.shard_count = (uint32_t)strtoul(argv[2], NULL, 10);
	if (header.shard_count > 0)
		per_shard = (sample_count + header.shard_count - 1) / header.shard_count;
	index_fd = make_index(sample_count, header.shard_count);
	if (fstat(index_fd, &status) != 0)
		give_up("index");
	shard = header;
	shard.file_bytes = PACK_HEADER_BYTES + per_shard * IMAGE_BYTES;
	header.index_at = header.shard_count > 0 ? PACK_HEADER_BYTES : shard.file_bytes;
	header.index_bytes = (uint64_t)status.st_size;
	header.file_bytes = header.index_at + header.index_bytes;
	for (uint32_t i = 0; i < header.shard_count; i++) {
		char *path = pack_file_shard_path(argv[3], i);

		shard.shard_number = i;
		write_file(path, shard, -1);
		free(path);
	}
	write_file(argv[3], header, index_fd);
	close(index_fd);
	return 0;
}
