/* target_paths.c - part of stage 1 of 5: an index and a folder of targets in, an index with targets out.  One thread. */
#include "loader/plan/target_paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/plan/index/index_build.h"

/* The folder that is looked at, and the last directory in it: samples of one directory stand together. */
struct search {
	int folder_fd;
	const char *folder;
	struct link_targets *links;
	int directory_fd; /* -1: there is none of that name */
	char directory[PATH_MAX];
	uint64_t missing_count;
	const char *first_missing;
};

/* Everything about a sample but its target. */
static void read_row(const struct index_view *view, uint64_t sample, struct index_row *row)
{
	const uint64_t *paths = view->column[INDEX_PATH];
	const int64_t *labels = view->column[INDEX_LABEL];
	const struct box *boxes = view->column[INDEX_BOX];
	const struct crop_window *windows = view->column[INDEX_WINDOW];
	const double *weights = view->column[INDEX_WEIGHT];
	const uint64_t *offsets = view->column[INDEX_OFFSET], *lengths = view->column[INDEX_LENGTH];
	const uint64_t *shards = view->column[INDEX_SHARD];
	const struct index_image *images = view->column[INDEX_IMAGE];

	*row = (struct index_row){.path = view->text + paths[sample], .label = labels[sample]};
	if (offsets) {
		row->offset = offsets[sample];
		row->length = lengths[sample];
	}
	if (images)
		row->image = images[sample];
	if (shards)
		row->shard = shards[sample];
	if (boxes)
		row->box = boxes[sample];
	if (windows)
		row->window = windows[sample];
	if (weights)
		row->weight = weights[sample];
}

/* Tells `links` about a name in a directory, if it is a link.  False: there is no such name. */
static bool look_at(struct search *search, int directory_fd, const char *place, const char *name, bool is_folder, int *rc)
{
	struct stat status;

	if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	if (S_ISLNK(status.st_mode)) {
		search->links->place = place;
		*rc = link_targets_add(search->links, directory_fd, name, is_folder);
		search->links->place = NULL;
		if (fstatat(directory_fd, name, &status, 0) != 0)
			return false;
	}
	return is_folder ? S_ISDIR(status.st_mode) : S_ISREG(status.st_mode);
}

/* Goes down from the folder, one name after the other. */
static int enter(struct search *search, const char *directory)
{
	char place[PATH_MAX] = "", name[NAME_MAX + 1];
	int fd = fcntl(search->folder_fd, F_DUPFD_CLOEXEC, 0), rc = 0;

	if (search->directory_fd >= 0)
		close(search->directory_fd);
	search->directory_fd = -1;
	strcpy(search->directory, directory);
	if (fd < 0)
		return -errno;
	while (*directory) {
		size_t length = strcspn(directory, "/");
		int next = -1;

		snprintf(name, sizeof name, "%.*s", (int)length, directory); /* a longer name is cut, and not to be found */
		if (look_at(search, fd, place, name, true, &rc) && rc == 0)
			next = openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
		if (fd < 0)
			return rc;
		if (*place)
			strcat(place, "/");
		strcat(place, name);
		directory += length + (directory[length] == '/');
	}
	search->directory_fd = fd;
	return 0;
}

/* The sample's target, relative to the folder, in `target`; "": there is none. */
static int find(struct search *search, const char *path, char target[PATH_MAX])
{
	static const char *const endings[] = {".png", ".PNG", ".bmp", ".BMP", NULL};
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
	size_t directory_length = slash ? (size_t)(slash - path) : 0;
	size_t stem_length = dot && dot > name ? (size_t)(dot - path) : strlen(path);
	int rc = 0;

	if (strlen(path) + strlen(".png") >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(target, path, directory_length);
	target[directory_length] = '\0';
	if (search->directory_fd < 0 || strcmp(target, search->directory) != 0)
		rc = enter(search, target);
	for (size_t i = 0; rc == 0 && search->directory_fd >= 0 && i < sizeof endings / sizeof endings[0]; i++) {
		memcpy(target, path, stem_length);
		strcpy(target + stem_length, endings[i] ? endings[i] : path + stem_length);
		if (look_at(search, search->directory_fd, search->directory, target + (name - path), false, &rc))
			return rc;
	}
	target[0] = '\0';
	return rc;
}

static int add_samples(struct search *search, const struct index_view *view, struct index_build *build)
{
	uint64_t sample_count = view->header->sample_count, class_count = view->header->class_count;
	char target[PATH_MAX] = "";
	const char *last_path = NULL;
	struct index_row row;
	int rc = 0;

	for (uint64_t class = 0; class < class_count && rc == 0; class ++)
		rc = index_build_class(build, view->text + view->class_offsets[class]);
	for (uint64_t sample = 0; sample < sample_count && rc == 0; sample++) {
		read_row(view, sample, &row);
		if (row.path != last_path) /* else another box of the same image */
			rc = find(search, row.path, target);
		last_path = row.path;
		if (rc == 0 && !*target && search->missing_count++ == 0)
			search->first_missing = row.path;
		row.target = target;
		if (rc == 0 && search->missing_count == 0)
			rc = index_build_add(build, &row);
	}
	return rc;
}

static int refuse_missing(const struct search *search, uint64_t sample_count, struct err *err)
{
	return err_fail(err, -ENOENT,
	                "--targets %s: %llu of %llu images have no target there; the first is %s, for which the same name with "
	                ".png, .PNG, .bmp, .BMP or its own ending is expected",
	                search->folder, (unsigned long long)search->missing_count, (unsigned long long)sample_count,
	                search->first_missing);
}

int target_paths_check(const struct index_view *view, const char *folder, struct err *err)
{
	if (view->column[INDEX_TARGET])
		return err_fail(err, -EINVAL, "--targets %s: the source names a target for each sample itself; leave --targets out",
		                folder);
	if (view->column[INDEX_OFFSET] && !view->column[INDEX_IMAGE]) /* in a pack each image has kept its name */
		return err_fail(err, -EINVAL,
		                "--targets %s: the source's images lie within larger files; name each one's target in a manifest",
		                folder);
	return 0;
}

int target_paths_find(const struct index_view *view, int folder_fd, const char *folder, struct link_targets *links, struct err *err)
{
	struct search search = {.folder_fd = folder_fd, .folder = folder, .links = links, .directory_fd = -1};
	const char *root = view->text + view->header->root_at;
	struct index_build *build;
	int rc;

	build = index_build_open(view->header->columns | INDEX_HAS(INDEX_TARGET));
	rc = build ? add_samples(&search, view, build) : -ENOMEM;
	if (search.directory_fd >= 0)
		close(search.directory_fd);
	if (rc == 0 && search.missing_count > 0)
		rc = refuse_missing(&search, view->header->sample_count, err);
	else if (rc == 0)
		rc = index_build_finish(build, root);
	if (rc < 0 && search.missing_count == 0)
		err_fail(err, rc, "--targets %s: %s", folder, strerror(-rc));
	index_build_close(build);
	return rc;
}
