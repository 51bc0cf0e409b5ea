/* source_manifest.c - part of stage 1 of 5: a manifest in, its samples, and where they may lie, out.  One thread. */
#include "loader/plan/source_manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/plan/dataset.h"
#include "loader/plan/manifest/manifest.h"

/*
 * Images, and targets, that are looked at for links: all would take a second for a million, and minutes on a cold disk, but a folder
 * whose files are links, such as a snapshot in Hugging Face's cache, mostly leads to one place with all of them.
 */
enum { PROBED_FILES = 256 };

/* Its changes count for --index, wherever the root is and whatever folder a later start stands in. */
static int stamp(const struct source *source, const struct stat *status, struct err *err)
{
	char *real = realpath(source->path, NULL);
	int rc = real ? index_stamps_add(source->stamps, real, status) : -errno;

	free(real);
	return rc < 0 ? err_fail(err, rc, "%s: cannot tell where this manifest lies: %s", source->path, strerror(-rc)) : 0;
}

static int open_file(const struct source *source, int *fd, struct err *err)
{
	const char *path = source->path;
	struct stat status;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* which does not wait for the writer of a FIFO */
	if (*fd < 0)
		return err_fail(err, -errno, "%s: cannot open this manifest: %s", path, strerror(errno));
	if (fstat(*fd, &status) != 0 || !S_ISREG(status.st_mode))
		return err_fail(err, -EINVAL, "%s: a manifest is a regular file, and this is none", path);
	return source->stamps ? stamp(source, &status, err) : 0;
}

/* Evenly spread among the samples. */
static int probe_column(struct source *source, enum index_column column)
{
	uint64_t sample_count = index_build_sample_count(source->build);
	uint64_t probes = sample_count < PROBED_FILES ? sample_count : PROBED_FILES;
	int rc = 0;

	for (uint64_t i = 0; rc == 0 && i < probes; i++) {
		const char *path = index_build_path(source->build, column, i * sample_count / probes);

		if (path)
			rc = link_targets_add(&source->link_targets, source->root_fd, path, false);
	}
	return rc;
}

static int probe_links(struct source *source)
{
	int rc;

	link_targets_open(&source->link_targets, source->root_fd);
	source->link_targets.place = "";
	rc = probe_column(source, INDEX_PATH);
	rc = rc ? rc : probe_column(source, INDEX_TARGET);
	source->link_targets.place = NULL;
	return rc;
}

static void remark_others(struct source *source, const struct manifest_names *others)
{
	if (others->count > 0 &&
	    asprintf(&source->remark, "%s: columns that mean nothing here: %s", source->path, others->text) < 0)
		source->remark = NULL;
}

static int read_samples(struct source *source, int fd, struct err *err)
{
	struct manifest_root root;
	struct manifest_names others;
	int rc = manifest_root_open(&root, source->root, err);

	if (rc == 0)
		rc = manifest_read(&source->build, fd, source->path, manifest_format_of(source->path), &root, &others, err);
	source->root_fd = root.fd;
	root.fd = -1;
	manifest_root_close(&root);
	if (rc < 0)
		return rc;
	remark_others(source, &others);
	rc = probe_links(source);
	return rc < 0 ? err_fail(err, rc, "%s: out of memory", source->path) : 0;
}

int source_manifest_read(struct source *source, struct err *err)
{
	int fd, rc = open_file(source, &fd, err);

	if (rc == 0)
		rc = read_samples(source, fd, err);
	if (fd >= 0)
		close(fd);
	return rc;
}
