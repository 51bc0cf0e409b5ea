/*
 * source_tar.c - part of stage 1 of 5: WebDataset shards in, where each image lies in them and its label out.
 * As many threads as the source may have, one shard at a time each; what they found is put together in the order of the shards.
 */
#include "loader/plan/source_tar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/plan/dataset.h"
#include "loader/plan/folder/listing.h"
#include "loader/plan/manifest/manifest_labels.h"
#include "loader/plan/tar/brace.h"
#include "loader/plan/tar/tar_header.h"
#include "loader/plan/tar/tar_samples.h"

enum { MOST_THREADS = 64 };

/* All shards of the source. */
struct shards {
	int root_fd;
	const char *root;
	char *target_extension; /* NULL: none is asked for */
	char **name;            /* relative to the root */
	struct tar_samples *samples;
	struct stat *looks; /* for --index: what each was like before it was read; NULL: nobody asks */
	size_t count, capacity;
	atomic_size_t next;

	pthread_mutex_t lock; /* guards the rest */
	size_t failed;        /* the first shard that is wrong; count: none is */
	int rc;
	struct err err;
};

/* ------------------------------------------------------------------ which shards */

static int take_name(void *context, const char *name)
{
	struct shards *shards = context;

	if (shards->count == shards->capacity) {
		size_t capacity = shards->capacity ? 2 * shards->capacity : 64;
		char **larger = reallocarray(shards->name, capacity, sizeof *larger);

		if (!larger)
			return -ENOMEM;
		shards->name = larger;
		shards->capacity = capacity;
	}
	shards->name[shards->count] = strdup(name);
	return shards->name[shards->count] && ++shards->count ? 0 : -ENOMEM;
}

static int by_name(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

static int list_folder(struct shards *shards, const char *folder, struct err *err)
{
	DIR *stream = opendir(folder);
	const struct dirent *entry;
	int rc = 0;

	if (!stream)
		return err_fail(err, -errno, "%s: cannot list this folder: %s", folder, strerror(errno));
	while (errno = 0, rc == 0 && (entry = readdir(stream)))
		if (listing_ends_with(entry->d_name, ".tar"))
			rc = take_name(shards, entry->d_name);
	if (rc == 0)
		rc = -errno;
	closedir(stream);
	if (rc < 0)
		return err_fail(err, rc, "%s: cannot list this folder: %s", folder, strerror(-rc));
	qsort(shards->name, shards->count, sizeof *shards->name, by_name);
	return 0;
}

static int list_shards(struct source *source, struct shards *shards, struct err *err)
{
	const char *path = source->path;
	struct stat status;
	struct err why;
	bool exists = stat(path, &status) == 0;
	int rc;

	if (exists && S_ISDIR(status.st_mode)) {
		rc = source->stamps ? index_stamps_add(source->stamps, "", &status) : 0;
		return rc == 0 ? list_folder(shards, path, err) : rc;
	}
	rc = exists ? take_name(shards, source->name) : brace_expand(source->name, take_name, shards, &why);
	for (size_t i = 0; rc == 0 && i < shards->count; i++)
		if (tar_name_fault(shards->name[i]))
			rc = err_fail(&why, -EINVAL, "%.200s leads out of %.100s, where the pattern begins", shards->name[i],
			              source->root);
	return rc == -EINVAL ? err_fail(err, rc, "%.200s: %.280s", path, why.text) : rc;
}

/* ------------------------------------------------------------------ reading them */

/* As people would name it. */
static void name_shard(const struct shards *shards, size_t number, char *text, size_t text_bytes)
{
	bool is_here = strcmp(shards->root, ".") == 0;

	snprintf(text, text_bytes, "%s%s%s", is_here ? "" : shards->root, is_here ? "" : "/", shards->name[number]);
}

static int read_shard(const struct shards *shards, size_t number, struct err *err)
{
	int fd = openat(shards->root_fd, shards->name[number], O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), rc;
	char name[1024];

	name_shard(shards, number, name, sizeof name);
	if (fd < 0)
		return err_fail(err, -errno, "%.400s: cannot open this tar file: %s%s", name, strerror(errno),
		                strpbrk(shards->name[number], "*?[")
		                        ? "; patterns are {0000..0099} or {a,b}, and a folder stands for all in it"
		                        : "");
	if (shards->looks)
		(void)fstat(fd, &shards->looks[number]); /* what cannot be looked at is not as it was at the next start */
	rc = tar_samples_read(&shards->samples[number], fd, name, shards->target_extension, err);
	close(fd);
	return rc;
}

static bool has_failed(struct shards *shards)
{
	bool failed;

	pthread_mutex_lock(&shards->lock);
	failed = shards->failed < shards->count;
	pthread_mutex_unlock(&shards->lock);
	return failed;
}

/* Shards are handed out in order: of those that are wrong, the first one is told, however many threads there are. */
static void *read_shards(void *argument)
{
	struct shards *shards = argument;
	struct err err;

	while (!has_failed(shards)) {
		/* Relaxed: each thread gets numbers of its own; what they stand for was there before the threads. */
		size_t number = atomic_fetch_add_explicit(&shards->next, 1, memory_order_relaxed);
		int rc = number < shards->count ? read_shard(shards, number, &err) : 0;

		if (number >= shards->count)
			break;
		if (rc == 0)
			continue;
		pthread_mutex_lock(&shards->lock);
		if (number < shards->failed) {
			shards->failed = number;
			shards->rc = rc;
			shards->err = err;
		}
		pthread_mutex_unlock(&shards->lock);
	}
	return NULL;
}

/* This thread reads as well: where no other can be made, it does all. */
static int read_all(struct shards *shards, uint32_t threads, bool with_looks, struct err *err)
{
	pthread_t others[MOST_THREADS];
	uint32_t other_count = 0;

	shards->samples = calloc(shards->count, sizeof *shards->samples);
	if (with_looks)
		shards->looks = calloc(shards->count, sizeof *shards->looks);
	if (!shards->samples || (with_looks && !shards->looks))
		return -ENOMEM;
	shards->failed = shards->count;
	while (other_count < MOST_THREADS && other_count + 1 < threads && other_count + 1 < shards->count &&
	       pthread_create(&others[other_count], NULL, read_shards, shards) == 0)
		other_count++;
	read_shards(shards);
	while (other_count > 0)
		pthread_join(others[--other_count], NULL);
	if (shards->rc < 0 && err)
		*err = shards->err;
	return shards->rc;
}

/* ------------------------------------------------------------------ putting it together */

/* What stands for the sample's label until all are known. */
static int take_label(const struct tar_samples *samples, const struct tar_sample *sample, struct manifest_labels *labels,
                      int64_t *label)
{
	const char *text = sample->label_at == TAR_NO_LABEL ? NULL : samples->labels + sample->label_at;

	*label = text ? manifest_labels_add(labels, text, strlen(text)) : -1;
	return text && *label < 0 ? -ENOMEM : 0;
}

static int add_shard(struct shards *shards, size_t number, struct source *source, struct manifest_labels *labels)
{
	const struct tar_samples *samples = &shards->samples[number];
	struct index_row row = {.path = shards->name[number], .target = shards->name[number]};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < samples->count; i++) {
		const struct tar_sample *sample = &samples->sample[i];

		rc = take_label(samples, sample, labels, &row.label);
		if (rc < 0)
			return rc;
		row.offset = sample->offset;
		row.length = sample->length;
		row.target_offset = sample->target_offset;
		row.target_length = sample->target_length;
		rc = index_build_add(source->build, &row);
	}
	return rc;
}

/* Images here and labels there: as `tar` writes a folder in the order of its directory. */
static void warn_of_lost_labels(struct source *source, uint64_t unlabelled_count, uint64_t lost_label_count)
{
	if (unlabelled_count > 0 && lost_label_count > 0 &&
	    asprintf(
		    &source->warning,
		    "%s: %llu samples are without a label, and %llu labels without an image: members of one key have to follow one "
		    "another; make the shards with tar --sort=name",
		    source->path, (unsigned long long)unlabelled_count, (unsigned long long)lost_label_count) < 0)
		source->warning = NULL;
}

static int add_all(struct shards *shards, struct source *source)
{
	struct manifest_labels *labels = manifest_labels_open();
	uint64_t imageless_count = 0, unlabelled_count = 0, lost_label_count = 0;
	int rc = labels ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < shards->count; i++) {
		rc = add_shard(shards, i, source, labels);
		imageless_count += shards->samples[i].imageless_count;
		unlabelled_count += shards->samples[i].unlabelled_count;
		lost_label_count += shards->samples[i].lost_label_count;
		tar_samples_close(&shards->samples[i]); /* its memory makes room for what is added */
	}
	if (rc == 0)
		rc = manifest_labels_finish(labels, source->build);
	if (rc == 0)
		warn_of_lost_labels(source, unlabelled_count, lost_label_count);
	if (rc == 0 && imageless_count > 0 &&
	    asprintf(&source->remark, "%s: %llu samples without an image are left out", source->path,
	             (unsigned long long)imageless_count) < 0)
		source->remark = NULL;
	manifest_labels_close(labels);
	return rc;
}

/* Those that symbolic links lead to. */
static int find_link_targets(const struct shards *shards, struct source *source)
{
	int rc = 0;

	link_targets_open(&source->link_targets, source->root_fd);
	source->link_targets.place = "";
	for (size_t i = 0; rc == 0 && i < shards->count; i++)
		rc = link_targets_add(&source->link_targets, source->root_fd, shards->name[i], false);
	source->link_targets.place = NULL;
	return rc;
}

static int open_root(struct source *source, struct shards *shards, struct err *err)
{
	uint32_t columns = INDEX_HAS(INDEX_OFFSET) | INDEX_HAS(INDEX_LENGTH);

	if (source->spec->targets)
		columns |= INDEX_HAS(INDEX_TARGET) | INDEX_HAS(INDEX_TARGET_OFFSET) | INDEX_HAS(INDEX_TARGET_LENGTH);
	source->root_fd = open(source->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (source->root_fd < 0)
		return err_fail(err, -errno, "%s: cannot open this folder: %s", source->root, strerror(errno));
	source->build = index_build_open(columns);
	shards->root_fd = source->root_fd;
	shards->root = source->root;
	return source->build ? 0 : -ENOMEM;
}

static int read_source(struct source *source, struct shards *shards, struct err *err)
{
	int rc = list_shards(source, shards, err);

	if (rc == 0)
		rc = open_root(source, shards, err);
	if (rc == 0)
		rc = read_all(shards, source->spec->threads, source->stamps != NULL, err);
	for (size_t i = 0; rc == 0 && source->stamps && i < shards->count; i++)
		rc = index_stamps_add(source->stamps, shards->name[i], &shards->looks[i]);
	if (rc == 0)
		rc = find_link_targets(shards, source);
	if (rc == 0)
		rc = add_all(shards, source);
	if (rc == 0 && index_build_sample_count(source->build) == 0)
		rc = err_fail(err, -ENODATA, "%s: no image in %zu tar files (%s)", source->path, shards->count, LISTING_EXTENSIONS);
	return rc;
}

int source_tar_read(struct source *source, struct err *err)
{
	const char *targets = source->spec->targets;
	struct shards shards = {.root_fd = -1};
	int rc = 0;

	pthread_mutex_init(&shards.lock, NULL);
	atomic_init(&shards.next, 0);
	if (targets) { /* ".seg.png" means the same */
		shards.target_extension = strdup(targets + (*targets == '.'));
		rc = shards.target_extension ? 0 : -ENOMEM;
	}
	if (rc == 0)
		rc = read_source(source, &shards, err);
	if (rc == -ENOMEM)
		err_fail(err, rc, "%s: out of memory", source->path);
	for (size_t i = 0; i < shards.count; i++) {
		if (shards.samples)
			tar_samples_close(&shards.samples[i]);
		free(shards.name[i]);
	}
	free(shards.samples);
	free(shards.looks);
	free(shards.name);
	free(shards.target_extension);
	pthread_mutex_destroy(&shards.lock);
	return rc;
}
