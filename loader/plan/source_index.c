/* source_index.c - part of stage 1 of 5: an index file in, the same index in sealed memory out.  One thread. */
#include "loader/plan/source_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "loader/plan/dataset.h"
#include "loader/plan/index_file.h"

/* Where paths begin, from malloc. */
static char *find_root(const struct source *source, const struct index_file *file)
{
	const char *root = source->spec->root ? source->spec->root : file->tail, *slash = strrchr(source->path, '/');
	char *whole;

	if (source->spec->root || *root == '/' || !slash)
		return strdup(root);
	return asprintf(&whole, "%.*s/%s", (int)(slash - source->path), source->path, root) < 0 ? NULL : whole;
}

static int read_file(struct source *source, const struct index_file *file, struct err *err)
{
	source->root = find_root(source, file);
	if (!source->root)
		return err_fail(err, -ENOMEM, "%s: out of memory", source->path);
	source->root_fd = open(source->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (source->root_fd < 0)
		return err_fail(err, -errno, "%s: its paths begin at %s, which cannot be opened: %s; say where with --root",
		                source->path, source->root, strerror(errno));
	link_targets_open(&source->link_targets, source->root_fd);
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
