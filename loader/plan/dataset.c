/*
 * dataset.c - stage 1 of 5, plan: a source in, the numbered list of samples out.
 * One thread opens it; then it is only read, by any thread, and by readers through the index's descriptor.
 */
#include "loader/plan/dataset.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/plan/index_build.h"
#include "loader/plan/scan.h"

struct dataset {
	int root_fd, index_fd;
	void *mapping; /* the index, read-only */
	size_t mapping_bytes;
	uint64_t stray_count;
	struct link_targets link_targets;
	struct index_view view;
};

/* ------------------------------------------------------------------ folders */

/* The samples of a scan, which loses its paths. */
static int add_scan(struct index_build *build, struct scan *scan)
{
	char *paths = malloc(scan->paths_bytes ? scan->paths_bytes : 1);
	struct index_row row = {.path = paths, .label = -1};
	uint64_t left = 0, added = 0;
	int64_t class = -1;
	int rc = paths ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < scan->class_count; i++)
		rc = index_build_class(build, scan->classes[i].name);
	if (paths)
		scan_take_paths(scan, paths);
	for (; rc == 0 && added < scan->sample_count; added++, left--) {
		while (scan->class_count > 0 && left == 0)
			left = scan->classes[++class].sample_count;
		row.label = class;
		rc = index_build_add(build, &row);
		row.path += strlen(row.path) + 1;
	}
	free(paths);
	return rc;
}

static int read_folder(struct dataset *dataset, struct index_build *build, const char *folder, struct err *err)
{
	struct scan scan;
	int rc = scan_open(&scan, dataset->root_fd, folder, err);

	if (rc == 0) {
		rc = add_scan(build, &scan);
		if (rc < 0)
			err_fail(err, rc, "%s: out of memory", folder);
	}
	dataset->stray_count = scan.stray_count;
	dataset->link_targets = scan.link_targets;
	scan.link_targets = (struct link_targets){.count = 0};
	scan_close(&scan);
	return rc;
}

static int open_folder(struct dataset *dataset, const struct dataset_spec *spec, struct err *err)
{
	struct index_build *build = index_build_open(0);
	int rc;

	if (!build)
		return err_fail(err, -ENOMEM, "%s: out of memory", spec->source);
	dataset->root_fd = open(spec->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dataset->root_fd < 0) {
		rc = err_fail(err, -errno, "%s: cannot open this folder: %s", spec->source, strerror(errno));
		goto done;
	}
	rc = read_folder(dataset, build, spec->source, err);
	if (rc < 0)
		goto done;
	rc = index_build_finish(build, spec->source);
	if (rc < 0)
		err_fail(err, rc, "%s: cannot keep the list of its %llu images in memory: %s", spec->source,
		         (unsigned long long)index_build_sample_count(build), strerror(-rc));
	else
		dataset->index_fd = rc;
done:
	index_build_close(build);
	return rc < 0 ? rc : 0;
}

/* ------------------------------------------------------------------ any source */

/* Maps the index, which nobody can change any more, and looks at every number in it. */
static int map_index(struct dataset *dataset, const char *source, struct err *err)
{
	struct stat status;
	void *mapping;

	if (fstat(dataset->index_fd, &status) != 0)
		return err_fail(err, -errno, "%s: its index cannot be measured: %s", source, strerror(errno));
	mapping = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, dataset->index_fd, 0);
	if (mapping == MAP_FAILED)
		return err_fail(err, -errno, "%s: its index cannot be mapped: %s", source, strerror(errno));
	dataset->mapping = mapping;
	dataset->mapping_bytes = (size_t)status.st_size;
	return index_view_open(&dataset->view, mapping, dataset->mapping_bytes, source, err);
}

int dataset_open(struct dataset **out, const struct dataset_spec *spec, struct err *err)
{
	struct dataset *dataset = calloc(1, sizeof *dataset);
	int rc;

	*out = NULL;
	if (!dataset)
		return err_fail(err, -ENOMEM, "%s: out of memory", spec->source);
	dataset->root_fd = dataset->index_fd = -1;
	rc = open_folder(dataset, spec, err);
	if (rc == 0)
		rc = map_index(dataset, spec->source, err);
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

void dataset_image(const struct dataset *dataset, uint64_t sample, struct dataset_file *file)
{
	uint64_t at = number_in(dataset, INDEX_PATH, sample);

	*file = (struct dataset_file){.path = dataset->view.text + at,
	                              .offset = number_in(dataset, INDEX_OFFSET, sample),
	                              .length = number_in(dataset, INDEX_LENGTH, sample)};
	/* A file of many images is told apart by where each begins; that of a file's only image is its place in the text. */
	file->id = at ^ file->offset << 20;
}

void dataset_target(const struct dataset *dataset, uint64_t sample, struct dataset_file *file)
{
	uint64_t at = number_in(dataset, INDEX_TARGET, sample);

	*file = (struct dataset_file){.path = dataset->view.text + at,
	                              .offset = number_in(dataset, INDEX_TARGET_OFFSET, sample),
	                              .length = number_in(dataset, INDEX_TARGET_LENGTH, sample)};
	file->id = at ^ file->offset << 20;
}

const char *dataset_path(const struct dataset *dataset, uint64_t sample)
{
	return dataset->view.text + number_in(dataset, INDEX_PATH, sample);
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

int dataset_root_fd(const struct dataset *dataset)
{
	return dataset->root_fd;
}

int dataset_index_fd(const struct dataset *dataset)
{
	return dataset->index_fd;
}

const struct link_targets *dataset_link_targets(const struct dataset *dataset)
{
	return &dataset->link_targets;
}
