/* pack_finish.c - part of `cropring pack`: where all pictures lie in, the pack's index and headers out.  One thread. */
#include "loader/pack/pack_finish.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/pack/pack_io.h"
#include "loader/pack/pack_part.h"
#include "loader/pack/pack_written.h"
#include "loader/plan/index/index_build.h"
#include "loader/plan/pack/pack_layout.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* What a source has is of what was; here it is of the pack. */
#define OWN_COLUMNS                                                                                                                \
	(INDEX_HAS(INDEX_OFFSET) | INDEX_HAS(INDEX_LENGTH) | INDEX_HAS(INDEX_TARGET_OFFSET) | INDEX_HAS(INDEX_TARGET_LENGTH) |     \
	 INDEX_HAS(INDEX_IMAGE) | INDEX_HAS(INDEX_TARGET_IMAGE) | INDEX_HAS(INDEX_SHARD))

struct finishing {
	struct pack_writer *writer;
	const struct index_view *view; /* of the source */
	int index_fd;                  /* the pack's index, in memory, */
	const void *index;             /* mapped */
	size_t index_bytes;
	int pack_fd;
};

/* ------------------------------------------------------------------ the index */

static uint32_t columns_of(const struct finishing *finishing)
{
	uint32_t columns = finishing->view->header->columns & ~OWN_COLUMNS;

	columns |= INDEX_HAS(INDEX_OFFSET) | INDEX_HAS(INDEX_LENGTH) | INDEX_HAS(INDEX_IMAGE);
	if (columns & INDEX_HAS(INDEX_TARGET))
		columns |= INDEX_HAS(INDEX_TARGET_OFFSET) | INDEX_HAS(INDEX_TARGET_LENGTH) | INDEX_HAS(INDEX_TARGET_IMAGE);
	if (finishing->writer->terms.shard_bytes > 0)
		columns |= INDEX_HAS(INDEX_SHARD);
	return columns;
}

static const char *name_of(const struct finishing *finishing, const struct pack_row *row, enum index_column column, uint64_t sample)
{
	const uint64_t *paths = finishing->view->column[column];

	return row->name_at == PACK_NAME_OF_SOURCE ? finishing->view->text + paths[sample]
	                                           : finishing->writer->names.data + row->name_at;
}

static void fill_image(const struct finishing *finishing, uint64_t sample, struct index_row *row)
{
	const struct pack_row *written = pack_writer_row(finishing->writer, finishing->writer->pictures->image_of[sample]);

	row->path = name_of(finishing, written, INDEX_PATH, sample);
	row->offset = written->at;
	row->length = written->length;
	row->image = written->image;
	row->shard = written->shard;
}

static void fill_target(const struct finishing *finishing, uint64_t sample, struct index_row *row)
{
	const struct pack_row *written;

	if (!finishing->writer->pictures->target_of)
		return;
	written = pack_writer_row(finishing->writer, finishing->writer->pictures->target_of[sample]);
	row->target = name_of(finishing, written, INDEX_TARGET, sample);
	row->target_offset = written->at;
	row->target_length = written->length;
	row->target_image = written->image;
}

/* What the source tells of the sample, and pictures have no part in. */
static void fill_rest(const struct finishing *finishing, uint64_t sample, struct index_row *row)
{
	const struct index_view *view = finishing->view;

	row->label = ((const int64_t *)view->column[INDEX_LABEL])[sample];
	if (view->column[INDEX_BOX])
		memcpy(&row->box, (const int32_t(*)[4])view->column[INDEX_BOX] + sample, sizeof row->box);
	if (view->column[INDEX_WINDOW])
		memcpy(&row->window, (const float(*)[3])view->column[INDEX_WINDOW] + sample, sizeof row->window);
	if (view->column[INDEX_WEIGHT])
		row->weight = ((const double *)view->column[INDEX_WEIGHT])[sample];
}

static int add_all(const struct finishing *finishing, struct index_build *build)
{
	const struct index_view *view = finishing->view;
	int rc = 0;

	for (uint64_t i = 0; rc == 0 && i < view->header->class_count; i++)
		rc = index_build_class(build, view->text + view->class_offsets[i]);
	for (uint64_t sample = 0; rc == 0 && sample < view->header->sample_count; sample++) {
		struct index_row row = {0};

		fill_image(finishing, sample, &row);
		fill_target(finishing, sample, &row);
		fill_rest(finishing, sample, &row);
		rc = index_build_add(build, &row);
	}
	return rc;
}

/* Where the source lies is no matter of the pack's: "." is where the pack lies, whenever somebody looks. */
static int make_index(struct finishing *finishing)
{
	struct index_build *build = index_build_open(columns_of(finishing));
	int rc = build ? add_all(finishing, build) : -ENOMEM;
	struct stat status;

	if (rc == 0)
		finishing->index_fd = rc = index_build_finish(build, ".");
	index_build_close(build);
	if (rc < 0)
		return rc;
	if (fstat(finishing->index_fd, &status) < 0)
		return -errno;
	finishing->index_bytes = (size_t)status.st_size;
	finishing->index = mmap(NULL, finishing->index_bytes, PROT_READ, MAP_SHARED, finishing->index_fd, 0);
	return finishing->index == MAP_FAILED ? -errno : 0;
}

/* ------------------------------------------------------------------ headers */

/* The index has the checksums of all images; the terms say how they came about. */
static void make_id(const struct finishing *finishing, uint8_t id[16])
{
	const struct index_header *header = finishing->index;
	struct {
		uint8_t fingerprint[16];
		struct pack_terms terms;
	} all = {.terms = finishing->writer->terms};
	XXH128_canonical_t canonical;

	memcpy(all.fingerprint, header->fingerprint, sizeof all.fingerprint);
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(&all, sizeof all));
	memcpy(id, canonical.digest, sizeof canonical.digest);
}

static int write_header(const struct pack_writer *writer, int fd, struct pack_header header)
{
	struct stat status;
	int rc;

	if (fstat(fd, &status) < 0)
		return -errno;
	memcpy(header.magic, PACK_MAGIC, sizeof header.magic);
	memcpy(header.id, writer->id, sizeof header.id);
	header.shard_count = (uint32_t)pack_writer_shard_count(writer);
	header.file_bytes = (uint64_t)status.st_size;
	header.segment_px = writer->terms.segment_px;
	header.png_rows = writer->terms.png_rows;
	header.check = XXH3_64bits(&header, offsetof(struct pack_header, check));
	rc = pack_io_write(fd, &header, sizeof header, 0);
	return rc == 0 && fsync(fd) < 0 ? -errno : rc;
}

static int write_shard_headers(struct pack_writer *writer)
{
	int rc = 0;

	for (uint64_t shard = 0; rc == 0 && shard < pack_writer_shard_count(writer); shard++) {
		rc = pack_writer_open_file(writer, shard, 0);
		rc = rc ? rc : write_header(writer, writer->file_fd, (struct pack_header){.shard_number = (uint32_t)shard});
	}
	return rc;
}

/* ------------------------------------------------------------------ all of it */

/* The file that header and index go to: the one with the images, or one beside the shards. */
static int open_pack(struct finishing *finishing, uint64_t *index_at)
{
	const struct pack_writer *writer = finishing->writer;

	*index_at = PACK_HEADER_BYTES;
	finishing->pack_fd = openat(writer->folder_fd, PACK_PART_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (finishing->pack_fd < 0)
		return -errno;
	if (pack_writer_shard_count(writer) == 0)
		*index_at = (writer->end_bytes + PACK_IMAGE_ALIGNMENT - 1) / PACK_IMAGE_ALIGNMENT * PACK_IMAGE_ALIGNMENT;
	return ftruncate(finishing->pack_fd, (off_t)(*index_at + finishing->index_bytes)) < 0 ? -errno : 0;
}

static int write_all(struct finishing *finishing)
{
	struct pack_writer *writer = finishing->writer;
	uint64_t index_at;
	int rc = open_pack(finishing, &index_at);

	make_id(finishing, writer->id);
	rc = rc ? rc : pack_io_write(finishing->pack_fd, finishing->index, finishing->index_bytes, index_at);
	if (rc == 0 && fsync(finishing->pack_fd) < 0)
		rc = -errno;
	rc = rc ? rc : write_shard_headers(writer);
	rc = rc ? rc
	        : write_header(writer, finishing->pack_fd,
	                       (struct pack_header){.shard_number = PACK_NO_SHARD,
	                                            .index_at = index_at,
	                                            .index_bytes = finishing->index_bytes,
	                                            .original_bytes = writer->original_bytes});
	rc = rc ? rc : pack_io_sync_folder(writer->folder_fd);
	rc = rc ? rc : pack_journal_append(&writer->journal, PACK_RECORD_WHOLE, &(struct iovec){writer->id, sizeof writer->id}, 1);
	return rc ? rc : pack_journal_sync(&writer->journal);
}

int pack_finish(struct pack_writer *writer, struct err *err)
{
	struct finishing finishing = {.writer = writer,
	                              .view = dataset_index(writer->pictures->dataset),
	                              .index_fd = -1,
	                              .index = MAP_FAILED,
	                              .pack_fd = -1};
	int rc = pack_writer_sync(writer, err);

	if (rc < 0)
		return rc;
	rc = make_index(&finishing);
	rc = rc ? rc : write_all(&finishing);
	if (finishing.index != MAP_FAILED)
		munmap((void *)(uintptr_t)finishing.index, finishing.index_bytes);
	if (finishing.index_fd >= 0)
		close(finishing.index_fd);
	if (finishing.pack_fd >= 0)
		close(finishing.pack_fd);
	writer->is_whole = rc == 0;
	return rc ? err_fail(err, rc, "%.300s: cannot be finished: %s; --resume goes on from here", writer->folder, strerror(-rc))
	          : 0;
}
