/* source_folder.c - part of stage 1 of 5: a folder in, its images and their classes out.  One thread. */
#include "loader/plan/source_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "loader/plan/scan.h"

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

int source_folder_read(struct source *source, struct err *err)
{
	const char *folder = source->path;
	struct scan scan;
	int rc;

	source->build = index_build_open(0);
	source->root = strdup(folder);
	if (!source->build || !source->root)
		return err_fail(err, -ENOMEM, "%s: out of memory", folder);
	source->root_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (source->root_fd < 0)
		return err_fail(err, -errno, "%s: cannot open this folder: %s%s", folder, strerror(errno),
		                errno == ENOTDIR ? "; and no manifest (.csv, .tsv, .jsonl), .tar file or index either" : "");
	rc = scan_open(&scan, source->root_fd, folder, err);
	if (rc == 0) {
		rc = add_scan(source->build, &scan);
		if (rc < 0)
			err_fail(err, rc, "%s: out of memory", folder);
	}
	source->stray_count = scan.stray_count;
	source->link_targets = scan.link_targets;
	scan.link_targets = (struct link_targets){.count = 0};
	scan_close(&scan);
	return rc;
}
