/*
 * dataset.c - stage 1 of 5, plan: a source in, the numbered list of samples out.  The one place that knows every kind of source.
 * One thread opens it; then it is only read, by any thread, and by readers through the index's descriptor.
 */
#include "loader/plan/dataset.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/plan/index/index_build.h"
#include "loader/plan/index_cache.h"
#include "loader/plan/pack/pack_set.h"
#include "loader/plan/source.h"
#include "loader/plan/source_folder.h"
#include "loader/plan/source_index.h"
#include "loader/plan/source_kind.h"
#include "loader/plan/source_manifest.h"
#include "loader/plan/source_pack.h"
#include "loader/plan/source_tar.h"
#include "loader/plan/target_paths.h"

struct dataset {
	int root_fd, index_fd;
	void *mapping; /* the index, read-only */
	size_t mapping_bytes;
	uint64_t stray_count;
	bool is_everything;
	char *remark, *warning;
	struct link_targets link_targets;
	struct index_view view;
	struct index_cache_report cache_report;

	int target_root_fd; /* of --targets; -1: where there are targets, their paths begin at the root */
	char *target_root;
	struct link_targets target_links;

	struct pack_set *pack; /* NULL: the source is none */
};

/* ------------------------------------------------------------------ opening */

static int name_root(struct source *source, enum source_kind kind, struct err *err)
{
	source->name = "";
	if (kind == SOURCE_INDEX)
		return 0;
	if (kind == SOURCE_MANIFEST || kind == SOURCE_TAR)
		source->root = source_kind_folder(source->path, &source->name);
	else
		source->root = strdup(source->path);
	if (source->spec->root) {
		free(source->root);
		source->root = strdup(source->spec->root);
	}
	return source->root ? 0 : err_fail(err, -ENOMEM, "%s: out of memory", source->path);
}

static int read_source(struct source *source, enum source_kind kind, struct err *err)
{
	if (source->spec->root && kind != SOURCE_MANIFEST && kind != SOURCE_INDEX)
		return err_fail(err, -EINVAL, "--root %s: that is where the paths of a manifest begin, but %s is none",
		                source->spec->root, source->path);
	switch (kind) {
	case SOURCE_FOLDER:
		return source_folder_read(source, err);
	case SOURCE_UNSCANNED:
		return source_folder_name(source, err);
	case SOURCE_INDEX:
		return source_index_read(source, err);
	case SOURCE_MANIFEST:
		return source_manifest_read(source, err);
	case SOURCE_TAR:
		return source_tar_read(source, err);
	case SOURCE_PACK:
		return source_pack_read(source, err);
	}
	return -EINVAL;
}

/* An index of what the reader found, if it is none already. */
static int finish_index(struct source *source, struct err *err)
{
	int rc;

	if (source->index_fd >= 0)
		return 0;
	rc = index_build_finish(source->build, source->root);
	if (rc < 0)
		return err_fail(err, rc, "%s: cannot keep the list of its %llu images in memory: %s", source->path,
		                (unsigned long long)index_build_sample_count(source->build), strerror(-rc));
	source->index_fd = rc;
	return 0;
}

/* Maps the index, which nobody can change any more, and looks at every number in it; `name` is for messages. */
static int map_index(struct dataset *dataset, int index_fd, const char *name, struct err *err)
{
	struct stat status;
	void *mapping;
	int rc;

	if (fstat(index_fd, &status) != 0)
		return err_fail(err, -errno, "%s: its index cannot be measured: %s", name, strerror(errno));
	mapping = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, index_fd, 0);
	if (mapping == MAP_FAILED)
		return err_fail(err, -errno, "%s: its index cannot be mapped: %s", name, strerror(errno));
	rc = index_view_open(&dataset->view, mapping, (size_t)status.st_size, name, err);
	if (rc < 0) {
		munmap(mapping, (size_t)status.st_size);
		return rc;
	}
	dataset->mapping = mapping;
	dataset->mapping_bytes = (size_t)status.st_size;
	return 0;
}

static int read_anew(struct dataset *dataset, struct source *source, enum source_kind kind, struct err *err)
{
	int rc = read_source(source, kind, err);

	rc = rc ? rc : finish_index(source, err);
	rc = rc ? rc : map_index(dataset, source->index_fd, source->path, err);
	return rc || kind != SOURCE_PACK ? rc : source_pack_check(source, &dataset->view, err);
}

/* From the file of --index if that fits, else from the source. */
static int read_or_take(struct dataset *dataset, struct source *source, enum source_kind kind, struct err *err)
{
	struct index_cache cache;
	struct err fault;
	int rc = index_cache_open(&cache, source, kind, err);

	if (rc == 0) {
		index_cache_take(&cache, source);
		if (source->index_fd >= 0 && map_index(dataset, source->index_fd, cache.path, &fault) < 0)
			index_cache_refuse(&cache, source, &fault);
		if (source->index_fd < 0) {
			source->stamps = cache.path ? &cache.stamps : NULL;
			rc = read_anew(dataset, source, kind, err);
		}
	}
	if (rc == 0)
		rc = index_cache_keep(&cache, source, &dataset->view, err);
	dataset->cache_report = cache.report;
	index_cache_close(&cache);
	return rc;
}

/* Whether that folder is "/", however it was named. */
static bool is_root_of_all(int folder_fd)
{
	struct stat folder, root;

	return fstat(folder_fd, &folder) == 0 && stat("/", &root) == 0 && folder.st_dev == root.st_dev &&
	       folder.st_ino == root.st_ino;
}

/* Changes the index for one that also has the targets of --targets. */
static int add_targets(struct dataset *dataset, const char *folder, struct err *err)
{
	void *mapping = dataset->mapping;
	size_t mapping_bytes = dataset->mapping_bytes;
	int index_fd, rc = target_paths_check(&dataset->view, folder, err);

	if (rc < 0)
		return rc;
	dataset->target_root = strdup(folder);
	if (!dataset->target_root)
		return err_fail(err, -ENOMEM, "--targets %s: out of memory", folder);
	dataset->target_root_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dataset->target_root_fd < 0)
		return err_fail(err, -errno, "--targets %s: cannot open this folder: %s", folder, strerror(errno));
	link_targets_open(&dataset->target_links, dataset->target_root_fd);
	index_fd = target_paths_find(&dataset->view, dataset->target_root_fd, folder, &dataset->target_links, err);
	if (index_fd < 0)
		return index_fd;
	rc = map_index(dataset, index_fd, folder, err);
	if (rc < 0) {
		close(index_fd);
		return rc;
	}
	munmap(mapping, mapping_bytes);
	close(dataset->index_fd);
	dataset->index_fd = index_fd;
	return 0;
}

int dataset_open(struct dataset **out, const struct dataset_spec *spec, struct err *err)
{
	struct dataset *dataset = calloc(1, sizeof *dataset);
	struct source source = {.spec = spec, .root_fd = -1, .index_fd = -1};
	enum source_kind kind = SOURCE_UNSCANNED;
	char *path = NULL;
	int rc;

	*out = NULL;
	if (!dataset)
		return err_fail(err, -ENOMEM, "%s: out of memory", spec->source);
	dataset->target_root_fd = -1;
	rc = spec->unscanned ? 0 : source_kind_find(spec->source, &kind, &path, err);
	source.path = path ? path : spec->source;
	if (rc == 0)
		rc = name_root(&source, kind, err);
	if (rc == 0)
		rc = read_or_take(dataset, &source, kind, err);
	if (rc == 0 && dataset_sample_count(dataset) == 0 && !spec->unscanned)
		rc = err_fail(err, -ENODATA, "%s: an index without samples", spec->source);
	dataset->root_fd = source.root_fd;
	dataset->is_everything = source.root_fd >= 0 && is_root_of_all(source.root_fd);
	dataset->index_fd = source.index_fd;
	dataset->pack = source.pack;
	dataset->stray_count = source.stray_count;
	dataset->link_targets = source.link_targets;
	if (dataset->is_everything) /* no link leads out of it, but absolute ones would count as such */
		dataset->link_targets.stay_beneath = false;
	dataset->remark = source.remark;
	dataset->warning = source.warning;
	index_build_close(source.build);
	free(source.root);
	if (rc == 0 && spec->targets && kind != SOURCE_TAR) /* which knows them by their extension */
		rc = add_targets(dataset, spec->targets, err);
	free(path);
#ifdef __GLIBC__
	(void)malloc_trim(0); /* what reading took goes back: up to 24 bytes per sample else stay for ever */
#endif
	if (rc < 0) {
		dataset_close(dataset);
		return rc;
	}
	*out = dataset;
	return 0;
}

void dataset_close(struct dataset *dataset)
{
	if (!dataset)
		return;
	if (dataset->mapping)
		munmap(dataset->mapping, dataset->mapping_bytes);
	if (dataset->index_fd >= 0)
		close(dataset->index_fd);
	if (dataset->root_fd >= 0)
		close(dataset->root_fd);
	link_targets_close(&dataset->link_targets);
	free(dataset->remark);
	free(dataset->warning);
	if (dataset->target_root_fd >= 0)
		close(dataset->target_root_fd);
	free(dataset->target_root);
	link_targets_close(&dataset->target_links);
	pack_set_close(dataset->pack);
	free(dataset);
}

/* ------------------------------------------------------------------ what it holds */

uint64_t dataset_sample_count(const struct dataset *dataset)
{
	return dataset->view.header->sample_count;
}

static uint64_t number_in(const struct dataset *dataset, enum index_column column, uint64_t sample)
{
	const uint64_t *values = dataset->view.column[column];

	assert(sample < dataset_sample_count(dataset));
	return values ? values[sample] : 0;
}

/* The columns of an image, and those of its target. */
static const struct file_columns {
	enum index_column path, offset, length, image;
} image_columns = {INDEX_PATH, INDEX_OFFSET, INDEX_LENGTH, INDEX_IMAGE},
  target_columns = {INDEX_TARGET, INDEX_TARGET_OFFSET, INDEX_TARGET_LENGTH, INDEX_TARGET_IMAGE};

static void find_file(const struct dataset *dataset, uint64_t sample, const struct file_columns *columns, struct dataset_file *file)
{
	const struct index_image *images = dataset->view.column[columns->image];
	uint64_t at = number_in(dataset, columns->path, sample);

	*file = (struct dataset_file){.path = dataset->view.text + at,
	                              .fd = -1,
	                              .offset = number_in(dataset, columns->offset, sample),
	                              .length = number_in(dataset, columns->length, sample)};
	/* A file of many images is told apart by where each begins; that of a file's only image is its place in the text. */
	file->id = at ^ file->offset << 20;
	if (images) {
		file->image = &images[sample];
		file->shard = number_in(dataset, INDEX_SHARD, sample);
		file->lies_in_shard = dataset_has(dataset, INDEX_SHARD);
		file->fd = pack_set_fd(dataset->pack, file->shard);
		file->id = file->shard << 44 ^ file->offset; /* names are no places there */
	}
}

const int *dataset_open_fds(const struct dataset *dataset, uint32_t *count)
{
	*count = 0;
	return dataset->pack ? pack_set_fds(dataset->pack, count) : NULL;
}

void dataset_image(const struct dataset *dataset, uint64_t sample, struct dataset_file *file)
{
	find_file(dataset, sample, &image_columns, file);
}

void dataset_target(const struct dataset *dataset, uint64_t sample, struct dataset_file *file)
{
	find_file(dataset, sample, &target_columns, file);
}

bool dataset_segments(const struct dataset *dataset, const struct dataset_file *file, struct segments *segments)
{
	if (!file->image)
		return false;
	pack_set_segments(dataset->pack, file->shard, file->offset, file->length, file->image, segments);
	return true;
}

void dataset_announce(const struct dataset *dataset, uint64_t sample)
{
	struct dataset_file file;

	dataset_image(dataset, sample, &file);
	if (file.image)
		pack_set_announce(dataset->pack, file.shard, file.offset, file.length, file.image);
	if (!dataset_has(dataset, INDEX_TARGET_IMAGE))
		return;
	dataset_target(dataset, sample, &file);
	pack_set_announce(dataset->pack, file.shard, file.offset, file.length, file.image);
}

const char *dataset_path(const struct dataset *dataset, uint64_t sample)
{
	return dataset->view.text + number_in(dataset, INDEX_PATH, sample);
}

const char *dataset_file_name(const struct dataset_file *file, char *text, size_t text_bytes)
{
	if (file->offset == 0 && file->length == 0)
		return file->path;
	if (file->lies_in_shard)
		snprintf(text, text_bytes, "%s in shard %llu at byte %llu", file->path, (unsigned long long)file->shard,
		         (unsigned long long)file->offset);
	else
		snprintf(text, text_bytes, "%s at byte %llu", file->path, (unsigned long long)file->offset);
	return text;
}

int64_t dataset_label(const struct dataset *dataset, uint64_t sample)
{
	return (int64_t)number_in(dataset, INDEX_LABEL, sample);
}

bool dataset_has(const struct dataset *dataset, enum index_column column)
{
	return dataset->view.column[column] != NULL;
}

bool dataset_box(const struct dataset *dataset, uint64_t sample, struct crop_ask *ask)
{
	const int32_t(*boxes)[4] = dataset->view.column[INDEX_BOX];
	const float(*windows)[3] = dataset->view.column[INDEX_WINDOW];

	assert(sample < dataset_sample_count(dataset));
	if (boxes) {
		ask->rule = CROP_BOX;
		ask->box = (struct box){boxes[sample][0], boxes[sample][1], boxes[sample][2], boxes[sample][3]};
	} else if (windows) {
		ask->rule = CROP_WINDOW;
		ask->window = (struct crop_window){windows[sample][0], windows[sample][1], windows[sample][2]};
	}
	return boxes || windows;
}

const struct index_view *dataset_index(const struct dataset *dataset)
{
	return &dataset->view;
}

uint32_t dataset_class_count(const struct dataset *dataset)
{
	return (uint32_t)dataset->view.header->class_count;
}

const char *dataset_root(const struct dataset *dataset)
{
	return dataset->view.text + dataset->view.header->root_at;
}

uint64_t dataset_stray_count(const struct dataset *dataset)
{
	return dataset->stray_count;
}

const char *dataset_remark(const struct dataset *dataset)
{
	return dataset->remark;
}

const char *dataset_warning(const struct dataset *dataset)
{
	return dataset->warning;
}

int dataset_root_fd(const struct dataset *dataset)
{
	return dataset->root_fd;
}

bool dataset_is_everything(const struct dataset *dataset)
{
	return dataset->is_everything;
}

int dataset_index_fd(const struct dataset *dataset)
{
	return dataset->index_fd;
}

const struct link_targets *dataset_link_targets(const struct dataset *dataset)
{
	return &dataset->link_targets;
}

const char *dataset_cache_report(const struct dataset *dataset, bool *is_warning)
{
	*is_warning = dataset->cache_report.is_warning;
	return dataset->cache_report.text.text;
}

int dataset_target_root_fd(const struct dataset *dataset)
{
	return dataset->target_root_fd >= 0 ? dataset->target_root_fd : dataset->root_fd;
}

const char *dataset_target_root(const struct dataset *dataset)
{
	return dataset->target_root ? dataset->target_root : dataset_root(dataset);
}

const struct link_targets *dataset_target_links(const struct dataset *dataset)
{
	return dataset->target_root ? &dataset->target_links : NULL;
}

bool dataset_stays_beneath(const struct dataset *dataset)
{
	return dataset->link_targets.stay_beneath && (!dataset->target_root || dataset->target_links.stay_beneath);
}
