/* source_index.c - part of stage 1 of 5: an index file in, the same index in sealed memory out.  One thread. */
#include "loader/plan/source_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "loader/plan/dataset.h"
#include "loader/plan/index/index_file.h"

/* Where paths begin, from malloc. */
static char *find_root(const struct source *source, const struct index_file *file)
{
	const char *root = source->spec->root ? source->spec->root : file->tail, *slash = strrchr(source->path, '/');
	char *whole;

	if (source->spec->root || *root == '/' || !slash)
		return strdup(root);
	return asprintf(&whole, "%.*s/%s", (int)(slash - source->path), source->path, root) < 0 ? NULL : whole;
}

/* What a scan told: links that lead out of the root, and strays.  An index that another program made has none of it. */
static int take_stamps(struct source *source, const struct index_file *file, struct err *err)
{
	struct index_stamps_view stamps;
	const char *fault;

	link_targets_open(&source->link_targets, source->root_fd);
	if (file->header.stamp_bytes == 0)
		return 0;
	fault = index_stamps_open(&stamps, index_file_stamps(file), file->header.stamp_bytes);
	if (fault)
		return err_fail(err, -EINVAL, "%s: not an index that can be used: %s", source->path, fault);
	source->stray_count = stamps.origin.stray_count;
	return index_stamps_add_links(&stamps, &source->link_targets) == 0
	               ? 0
	               : err_fail(err, -ENOMEM, "%s: out of memory", source->path);
}

static int read_file(struct source *source, const struct index_file *file, struct err *err)
{
	int rc;

	source->root = find_root(source, file);
	if (!source->root)
		return err_fail(err, -ENOMEM, "%s: out of memory", source->path);
	source->root_fd = open(source->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (source->root_fd < 0)
		return err_fail(err, -errno, "%s: its paths begin at %s, which cannot be opened: %s; say where with --root",
		                source->path, source->root, strerror(errno));
	rc = take_stamps(source, file, err);
	if (rc < 0)
		return rc;
	source->index_fd = index_file_load(file, source->path, source->root, err);
	return source->index_fd < 0 ? source->index_fd : 0;
}

int source_index_read(struct source *source, struct err *err)
{
	struct index_file file;
	int rc = index_file_open(&file, source->path, err);

	if (rc == 0)
		rc = read_file(source, &file, err);
	index_file_close(&file);
	return rc < 0 ? rc : 0;
}
