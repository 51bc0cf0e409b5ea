/* pack_set.c - part of stage 1 of 5: all files of a pack, open, and the segment tables in them.  One thread opens it, any may look. */
#include "loader/plan/pack/pack_set.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * Page tables of what was looked at stay, 4 KB for each 2 MB: 2 GB for a pack of 1 TB, in each worker.  Mapping it anew after so many
 * looks keeps them below 64 MB, and makes a look cost 3.3 us instead of 0.05.
 */
enum { LOOKS_OF_A_MAPPING = 1 << 14 };

#define REGION_BYTES (UINT64_C(2) << 20)

/* Of a longer table only the beginning is announced: it is of a large image, of which little will be wanted. */
enum { ANNOUNCED_BYTES = 32 << 10 };

struct pack_set {
	struct pack_file head;
	struct pack_file *shards; /* NULL: the images are in the head */
	uint32_t shard_count;     /* of those that are open */
	int *fds;                 /* of the files with images */
	bool is_large;            /* page tables of all of it would take more than LOOKS_OF_A_MAPPING of them */
	_Atomic uint64_t look_count;
	struct err obstacle;
};

/* ------------------------------------------------------------------ opening */

static int refuse_shard(const char *path, struct err *err)
{
	char *pack_path = pack_file_pack_path(path);
	int rc = err_fail(err, -EINVAL, "%s: a shard holds images of a pack; name the pack itself%s%s", path, pack_path ? ", " : "",
	                  pack_path ? pack_path : "");

	free(pack_path);
	return rc;
}

static int open_shard(struct pack_set *set, const char *path, uint32_t number, struct err *err)
{
	struct pack_file *shard = &set->shards[number];
	char *shard_path = pack_file_shard_path(path, number);
	int rc;

	if (!shard_path)
		return err_fail(err, -ENOMEM, "%s: out of memory", path);
	rc = pack_file_open(shard, shard_path, err);
	set->shard_count += rc == 0;
	if (rc == -ENOENT)
		rc = err_fail(err, rc, "%s: this shard of %s is missing; the %u shards of a pack lie beside it", shard_path, path,
		              set->head.header.shard_count);
	else if (rc == 0 && (shard->header.shard_count != set->head.header.shard_count ||
	                     memcmp(shard->header.id, set->head.header.id, sizeof shard->header.id) != 0))
		rc = err_fail(err, -EINVAL, "%s: not shard %u of %s, but of another pack; a pack and its shards stay together",
		              shard_path, number, path);
	else if (rc == 0 && shard->header.shard_number != number)
		rc = err_fail(err, -EINVAL, "%s: not shard %u of %s, but another one of it; copy them again", shard_path, number,
		              path);
	free(shard_path);
	return rc;
}

static int open_shards(struct pack_set *set, const char *path, struct err *err)
{
	uint32_t count = set->head.header.shard_count;
	int rc = 0;

	if (count == 0)
		return 0;
	set->shards = calloc(count, sizeof *set->shards);
	if (!set->shards)
		return err_fail(err, -ENOMEM, "%s: out of memory", path);
	for (uint32_t number = 0; rc == 0 && number < count; number++)
		rc = open_shard(set, path, number, err);
	return rc;
}

/* Addresses may be scarce, and the ring needs some too. */
static bool takes_too_many_addresses(uint64_t byte_count)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && byte_count > limit.rlim_cur / 2;
}

/* Those with images. */
static struct pack_file *files_of(struct pack_set *set, uint32_t *count)
{
	*count = set->shards ? set->shard_count : 1;
	return set->shards ? set->shards : &set->head;
}

static int list_fds(struct pack_set *set)
{
	uint32_t count;
	const struct pack_file *files = files_of(set, &count);

	set->fds = malloc(count * sizeof *set->fds);
	for (uint32_t i = 0; set->fds && i < count; i++)
		set->fds[i] = files[i].fd;
	return set->fds ? 0 : -ENOMEM;
}

static int map_all(struct pack_set *set)
{
	uint32_t count;
	struct pack_file *files = files_of(set, &count);
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = pack_file_map(&files[i]);
	return rc;
}

/* Without tables images are read whole, which is right, and slow. */
static void map_if_possible(struct pack_set *set, const char *path)
{
	uint32_t count;
	const struct pack_file *files = files_of(set, &count);
	uint64_t total_bytes = 0;
	int rc;

	for (uint32_t i = 0; i < count; i++)
		total_bytes += files[i].header.file_bytes;
	set->is_large = total_bytes / REGION_BYTES > LOOKS_OF_A_MAPPING;
	rc = takes_too_many_addresses(total_bytes) ? -ENOMEM : map_all(set);
	if (rc < 0)
		err_fail(&set->obstacle, rc,
		         "%s: its %.1f GB cannot be mapped (%s), so that images are read whole; raise the limit of addresses "
		         "(ulimit -v)",
		         path, (double)total_bytes / 1e9, strerror(-rc));
}

int pack_set_open(struct pack_set **out, const char *path, struct err *err)
{
	struct pack_set *set = calloc(1, sizeof *set);
	int rc;

	*out = NULL;
	if (!set)
		return err_fail(err, -ENOMEM, "%s: out of memory", path);
	rc = pack_file_open(&set->head, path, err);
	if (rc == 0 && set->head.header.shard_number != PACK_NO_SHARD)
		rc = refuse_shard(path, err);
	rc = rc ? rc : open_shards(set, path, err);
	if (rc == 0 && list_fds(set) < 0)
		rc = err_fail(err, -ENOMEM, "%s: out of memory", path);
	if (rc < 0) {
		pack_set_close(set);
		return rc;
	}
	map_if_possible(set, path);
	*out = set;
	return 0;
}

void pack_set_close(struct pack_set *set)
{
	if (!set)
		return;
	pack_file_close(&set->head);
	for (uint32_t i = 0; i < set->shard_count; i++)
		pack_file_close(&set->shards[i]);
	free(set->shards);
	free(set->fds);
	free(set);
}

/* ------------------------------------------------------------------ what it holds */

const struct pack_file *pack_set_head(const struct pack_set *set)
{
	return &set->head;
}

static const struct pack_file *file_of(const struct pack_set *set, uint64_t shard)
{
	assert(shard < (set->shards ? set->shard_count : 1));
	return set->shards ? &set->shards[shard] : &set->head;
}

int pack_set_fd(const struct pack_set *set, uint64_t shard)
{
	return file_of(set, shard)->fd;
}

const int *pack_set_fds(const struct pack_set *set, uint32_t *count)
{
	*count = set->shards ? set->shard_count : 1;
	return set->fds;
}

const char *pack_set_obstacle(const struct pack_set *set)
{
	return set->obstacle.text;
}

/* Numbers as decode_probe() may tell them; whether they are those of the file its decoder sees. */
static bool is_a_picture(const struct index_image *image)
{
	return image->width_px > 0 && image->width_px <= INT32_MAX && image->height_px > 0 && image->height_px <= INT32_MAX &&
	       image->orientation >= 1 && image->orientation <= 8 && image->channels >= 1 && image->channels <= 4 &&
	       (image->sample_bits == 8 || image->sample_bits == 16);
}

/* Where the table lies, or NULL.  The index saw to it that offset + length is a place in some file. */
static const uint8_t *find_table(const struct pack_file *file, uint64_t offset, uint64_t length, uint32_t table_bytes)
{
	uint64_t end = pack_file_images_end(file), at = pack_table_at(offset, length);

	return file->mapping && table_bytes > 0 && at <= end && table_bytes <= end - at ? file->mapping + at : NULL;
}

/* Whoever is the one too many. */
static void count_look(struct pack_set *set)
{
	/* relaxed: a number of looks, whoever's */
	uint64_t looks = atomic_fetch_add_explicit(&set->look_count, 1, memory_order_relaxed);

	if (set->is_large && looks % LOOKS_OF_A_MAPPING == LOOKS_OF_A_MAPPING - 1)
		(void)map_all(set); /* what cannot be mapped anew stays as it is, and takes memory */
}

void pack_set_segments(struct pack_set *set, uint64_t shard, uint64_t offset, uint64_t length, const struct index_image *image,
                       struct segments *segments)
{
	static const uint8_t formats[] = {[SEGMENT_JPEG] = 1, [SEGMENT_PNG] = 2}; /* index_image.format */
	const uint8_t *table = find_table(file_of(set, shard), offset, length, image->segments_bytes);

	*segments = (struct segments){.kind = SEGMENT_NONE,
	                              .width_px = image->width_px,
	                              .height_px = image->height_px,
	                              .orientation = image->orientation,
	                              .channels = image->channels,
	                              .sample_bits = image->sample_bits,
	                              .file_bytes = length};
	if (table)
		count_look(set);
	if (table && is_a_picture(image) && segment_table_open(segments, table, image->segments_bytes) &&
	    formats[segments->kind] != image->format)
		segments->kind = SEGMENT_NONE;
}

void pack_set_announce(const struct pack_set *set, uint64_t shard, uint64_t offset, uint64_t length,
                       const struct index_image *image)
{
	uint32_t table_bytes = image->segments_bytes;
	const uint8_t *table = find_table(file_of(set, shard), offset, length, table_bytes);
	size_t in_page = (uintptr_t)table % (size_t)sysconf(_SC_PAGESIZE);

	/* Cold, looking at a table that was announced takes 45 us and not 290; warm, announcing it takes 0.6. */
	if (table)
		(void)madvise((void *)(table - in_page), in_page + (table_bytes <= ANNOUNCED_BYTES ? table_bytes : 1),
		              MADV_WILLNEED);
}
