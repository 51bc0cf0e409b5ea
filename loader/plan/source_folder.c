/* source_folder.c - part of stage 1 of 5: a folder in, its images and their classes out.  One thread. */
#include "loader/plan/source_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "loader/plan/dataset.h"
#include "loader/plan/folder/listing.h"
#include "loader/plan/folder/scan.h"

/* The samples of a scan, which loses its paths. */
static int add_scan(struct index_build *build, struct scan *scan)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < scan->class_count; i++)
		rc = index_build_class(build, scan->classes[i].name);
	if (scan->class_count == 0)
		return index_build_add_paths(build, &scan->top.paths, -1);
	for (uint32_t i = 0; rc == 0 && i < scan->class_count; i++) {
		rc = index_build_add_paths(build, &scan->classes[i].paths, i);
		bytes_free(&scan->classes[i].paths);
	}
	return rc;
}

int source_folder_name(struct source *source, struct err *err)
{
	const char *folder = source->path;

	source->build = index_build_open(0);
	if (!source->build)
		return err_fail(err, -ENOMEM, "%s: out of memory", folder);
	source->root_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (source->root_fd < 0 && errno == ENOTDIR)
		return err_fail(
			err, -ENOTDIR,
			"%s: a folder is expected, or a file that ends in .csv, .tsv or .jsonl (a manifest), .tar, .pack or .cropidx%s",
			folder,
			listing_ends_with(folder, ".json") || listing_ends_with(folder, ".parquet")
				? "; python -m cropring.manifest makes a manifest of COCO and Parquet"
				: "");
	if (source->root_fd < 0)
		return err_fail(err, -errno, "%s: cannot open this folder: %s", folder, strerror(errno));
	source->link_targets.stay_beneath = true;
	return 0;
}

int source_folder_read(struct source *source, struct err *err)
{
	const char *folder = source->path;
	struct scan scan;
	int rc = source_folder_name(source, err);

	if (rc < 0)
		return rc;
	rc = scan_open(&scan, source->root_fd, folder, source->spec->threads, source->stamps, err);
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
