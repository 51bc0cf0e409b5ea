/*
 * dataset.c - stage 1 of 5, plan: a folder in, the numbered list of samples out.
 * One thread opens it; then it is only read, by any thread, and by readers through the catalog's descriptor.
 */
#include "loader/plan/dataset.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/plan/catalog.h"
#include "loader/plan/scan.h"

struct dataset {
	int root_fd, catalog_fd;
	void *mapping; /* the catalog, read-only */
	size_t mapping_bytes;
	uint64_t stray_count;
	struct link_targets link_targets;
	/* Parts of the mapping. */
	const struct catalog_header *header;
	const uint64_t *path_offsets, *class_offsets;
	const int32_t *labels;
	const char *text;
};

/* Copies a string with its NUL; returns where the next one goes. */
static char *put_string(char *to, const char *string)
{
	return stpcpy(to, string) + 1;
}

/* The size of all strings before the paths. */
static size_t names_bytes(const struct scan *scan, const char *folder)
{
	size_t byte_count = strlen(folder) + 1;

	for (uint32_t i = 0; i < scan->class_count; i++)
		byte_count += strlen(scan->classes[i].name) + 1;
	return byte_count;
}

static size_t catalog_bytes(const struct catalog_header *header)
{
	return sizeof *header + header->sample_count * (sizeof(uint64_t) + sizeof(int32_t)) +
	       header->class_count * sizeof(uint64_t) + header->text_bytes;
}

/* Lays the catalog out as catalog.h tells, in catalog_bytes(header) bytes of memory. */
static void write_catalog(void *memory, const struct catalog_header *header, struct scan *scan, const char *folder)
{
	uint64_t *path_offsets = (uint64_t *)((struct catalog_header *)memory + 1);
	uint64_t *class_offsets = path_offsets + header->sample_count;
	int32_t *labels = (int32_t *)(class_offsets + header->class_count);
	char *text = (char *)(labels + header->sample_count);

	memcpy(memory, header, sizeof *header);

	char *end = put_string(text, folder);

	for (uint32_t i = 0; i < scan->class_count; i++) {
		class_offsets[i] = (uint64_t)(end - text);
		end = put_string(end, scan->classes[i].name);
	}

	scan_take_paths(scan, end);
	for (uint64_t sample = 0; sample < header->sample_count; sample++) {
		path_offsets[sample] = (uint64_t)(end - text);
		end += strlen(end) + 1;
	}
	assert(end == text + header->text_bytes);

	uint64_t sample = 0;

	for (uint32_t i = 0; i < scan->class_count; i++)
		for (uint64_t end_of_class = sample + scan->classes[i].sample_count; sample < end_of_class; sample++)
			labels[sample] = (int32_t)i;
	for (; sample < header->sample_count; sample++)
		labels[sample] = -1;
}

/* Makes the sealed memfd and maps it.  What was made before a failure is left to dataset_close(). */
static int make_catalog(struct dataset *dataset, struct scan *scan, const char *folder)
{
	struct catalog_header header = {
		.sample_count = scan->sample_count,
		.class_count = scan->class_count,
		.text_bytes = names_bytes(scan, folder) + scan->paths_bytes,
	};
	size_t byte_count = catalog_bytes(&header);

	memcpy(header.magic, CATALOG_MAGIC, sizeof header.magic);

	dataset->catalog_fd = memfd_create("cropring-catalog", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (dataset->catalog_fd < 0)
		return -errno;
	/* Reserved before it is written: short memory is an error here and not a SIGBUS later. */
	if (fallocate(dataset->catalog_fd, 0, 0, (off_t)byte_count) != 0)
		return -errno;

	void *memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, dataset->catalog_fd, 0);

	if (memory == MAP_FAILED)
		return -errno;
	write_catalog(memory, &header, scan, folder);
	/* No writable shared mapping may be left when the seal against writing is set. */
	munmap(memory, byte_count);
	if (fcntl(dataset->catalog_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
		return -errno;

	memory = mmap(NULL, byte_count, PROT_READ, MAP_PRIVATE, dataset->catalog_fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	dataset->mapping = memory;
	dataset->mapping_bytes = byte_count;
	return 0;
}

static void find_parts(struct dataset *dataset)
{
	dataset->header = dataset->mapping;
	dataset->path_offsets = (const uint64_t *)(dataset->header + 1);
	dataset->class_offsets = dataset->path_offsets + dataset->header->sample_count;
	dataset->labels = (const int32_t *)(dataset->class_offsets + dataset->header->class_count);
	dataset->text = (const char *)(dataset->labels + dataset->header->sample_count);
}

int dataset_open_folder(struct dataset **dataset, const char *folder, struct err *err)
{
	struct scan scan = {.class_count = 0};
	int result;
	struct dataset *opened = calloc(1, sizeof *opened);

	*dataset = NULL;
	if (!opened)
		return err_fail(err, -ENOMEM, "%s: out of memory", folder);
	opened->root_fd = opened->catalog_fd = -1;

	opened->root_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (opened->root_fd < 0) {
		result = -errno;
		err_fail(err, result, "%s: cannot open this folder: %s", folder, strerror(-result));
		goto fail;
	}
	result = scan_open(&scan, opened->root_fd, folder, err);
	if (result)
		goto fail;
	result = make_catalog(opened, &scan, folder);
	if (result) {
		err_fail(err, result, "%s: cannot keep the list of its %llu images in memory: %s", folder,
		         (unsigned long long)scan.sample_count, strerror(-result));
		goto fail;
	}
	find_parts(opened);
	opened->stray_count = scan.stray_count;
	opened->link_targets = scan.link_targets;
	scan.link_targets = (struct link_targets){.count = 0};
	scan_close(&scan);
	*dataset = opened;
	return 0;

fail:
	scan_close(&scan);
	dataset_close(opened);
	return result;
}

void dataset_close(struct dataset *dataset)
{
	if (!dataset)
		return;
	if (dataset->mapping)
		munmap(dataset->mapping, dataset->mapping_bytes);
	if (dataset->catalog_fd >= 0)
		close(dataset->catalog_fd);
	if (dataset->root_fd >= 0)
		close(dataset->root_fd);
	link_targets_close(&dataset->link_targets);
	free(dataset);
}

uint64_t dataset_sample_count(const struct dataset *dataset)
{
	return dataset->header->sample_count;
}

const char *dataset_path(const struct dataset *dataset, uint64_t sample)
{
	assert(sample < dataset->header->sample_count);
	return dataset->text + dataset->path_offsets[sample];
}

int32_t dataset_label(const struct dataset *dataset, uint64_t sample)
{
	assert(sample < dataset->header->sample_count);
	return dataset->labels[sample];
}

uint32_t dataset_class_count(const struct dataset *dataset)
{
	return (uint32_t)dataset->header->class_count;
}

const char *dataset_class_name(const struct dataset *dataset, uint32_t class_index)
{
	assert(class_index < dataset->header->class_count);
	return dataset->text + dataset->class_offsets[class_index];
}

const char *dataset_folder(const struct dataset *dataset)
{
	return dataset->text;
}

uint64_t dataset_stray_count(const struct dataset *dataset)
{
	return dataset->stray_count;
}

int dataset_root_fd(const struct dataset *dataset)
{
	return dataset->root_fd;
}

int dataset_catalog_fd(const struct dataset *dataset)
{
	return dataset->catalog_fd;
}

const struct link_targets *dataset_link_targets(const struct dataset *dataset)
{
	return &dataset->link_targets;
}
