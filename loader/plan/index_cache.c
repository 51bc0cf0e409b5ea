/* index_cache.c - part of stage 1 of 5: --index FILE keeps the index of a source, which is read again only when it has changed. */
#include "loader/plan/index_cache.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/plan/dataset.h"
#include "loader/plan/index/index_file.h"

/* Of those that can be kept. */
static const char *const kind_names[] = {[SOURCE_FOLDER] = "folder", [SOURCE_MANIFEST] = "manifest", [SOURCE_TAR] = "tar"};

/*
 * Everything that says what reading would give, but for what the stamps tell of: names and what they lead to now.  A later version may
 * read differently.  Names may hold line feeds, and so their lengths stand before them.  --targets counts for shards alone: a folder of
 * targets is looked into at every start.
 */
static char *describe(const struct source *source, enum source_kind kind)
{
	const char *name = source->name, *targets = kind == SOURCE_TAR && source->spec->targets ? source->spec->targets : "";
	char *root = realpath(source->root, NULL), *file = realpath(source->path, NULL), *asked = NULL;

	/* What is not there has no real path: a pattern, or what cannot be read either. */
	if (asprintf(&asked, "%s %s %zu %zu %zu\n%s\n%s\n%s\n%s", CROPRING_VERSION, kind_names[kind], strlen(root ? root : ""),
	             strlen(file ? file : ""), strlen(name), root ? root : "", file ? file : "", name, targets) < 0)
		asked = NULL;
	free(root);
	free(file);
	return asked;
}

/* ------------------------------------------------------------------ the file's place */

/* The folder is that of the file itself where the name is a link to one. */
static int open_folder(struct index_cache *cache, struct err *err)
{
	char *real = realpath(cache->path, NULL), *folder = NULL;
	const char *path = real ? real : cache->path, *slash = strrchr(path, '/');
	int rc = 0;

	if (*cache->path == '\0' || cache->path[strlen(cache->path) - 1] == '/') {
		rc = err_fail(err, -EINVAL, "--index %s: the name of a file is expected", cache->path);
		goto out;
	}
	folder = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
	cache->name = strdup(slash ? slash + 1 : path);
	if (!folder || !cache->name) {
		rc = err_fail(err, -ENOMEM, "--index %s: out of memory", cache->path);
		goto out;
	}
	cache->folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (cache->folder_fd < 0)
		rc = err_fail(err, -errno, "--index %s: its folder %s cannot be opened: %s; make it first", cache->path, folder,
		              strerror(errno));
out:
	free(folder);
	free(real);
	return rc;
}

static int look_at_file(struct index_cache *cache, struct err *err)
{
	int rc = index_file_look(cache->folder_fd, cache->name);

	cache->exists = rc > 0;
	if (rc >= 0)
		return 0;
	if (rc == -EEXIST)
		return err_fail(err, -EINVAL, "--index %s: is there already and is no index; name another file, or remove it",
		                cache->path);
	return err_fail(err, rc, "--index %s: cannot read this file: %s", cache->path, strerror(-rc));
}

int index_cache_open(struct index_cache *cache, const struct source *source, enum source_kind kind, struct err *err)
{
	int rc;

	*cache = (struct index_cache){.folder_fd = -1, .stamps.began_ns = index_stamps_now()};
	if (!source->spec->index_path)
		return 0;
	if (kind == SOURCE_INDEX)
		return err_fail(err, -EINVAL, "--index: %s is an index itself; leave the flag out", source->path);
	if (kind == SOURCE_PACK)
		return err_fail(err, -EINVAL, "--index: %s has its index in itself; leave the flag out", source->path);
	if (kind == SOURCE_UNSCANNED)
		return err_fail(err, -EINVAL, "--index: there is no list to keep where readers name the files; leave the flag out");
	cache->path = source->spec->index_path;
	cache->asked = describe(source, kind);
	if (!cache->asked)
		return err_fail(err, -ENOMEM, "--index %s: out of memory", cache->path);
	rc = open_folder(cache, err);
	return rc ? rc : look_at_file(cache, err);
}

void index_cache_close(struct index_cache *cache)
{
	if (cache->folder_fd >= 0)
		close(cache->folder_fd);
	free(cache->name);
	free(cache->asked);
	index_stamps_close(&cache->stamps);
}

/* ------------------------------------------------------------------ taking */

static void forget(struct source *source)
{
	if (source->root_fd >= 0)
		close(source->root_fd);
	if (source->index_fd >= 0)
		close(source->index_fd);
	source->root_fd = source->index_fd = -1;
	link_targets_close(&source->link_targets);
	source->link_targets = (struct link_targets){.count = 0};
	source->stray_count = 0;
}

/* Where paths begin the source says, and never the file: its root is for those to whom it is the source. */
static int open_root(struct source *source, const struct index_file *file, struct err *err)
{
	char *real;
	bool is_same;

	source->root_fd = open(source->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (source->root_fd < 0)
		return err_fail(err, -ESTALE, "%s is gone: %s", source->root, strerror(errno));
	real = realpath(source->root, NULL);
	is_same = real && strcmp(real, file->tail) == 0;
	free(real);
	return is_same ? 0 : err_fail(err, -ESTALE, "its paths begin elsewhere");
}

static int take_file(struct index_cache *cache, struct source *source, const struct index_file *file, struct err *err)
{
	struct index_stamps_view stamps;
	const char *fault = index_stamps_open(&stamps, index_file_stamps(file), file->header.stamp_bytes);
	int rc;

	if (fault)
		return err_fail(err, -EINVAL, "%s: not an index that can be used: %s", cache->path, fault);
	if (strcmp(stamps.origin.asked, cache->asked) != 0)
		return err_fail(err, -ESTALE, "it was of another source, of other flags, or of another version");
	rc = open_root(source, file, err);
	rc = rc ? rc : index_stamps_check(&stamps, source->root_fd, source->root, err);
	if (rc)
		return rc;
	link_targets_open(&source->link_targets, source->root_fd);
	if (index_stamps_add_links(&stamps, &source->link_targets) != 0)
		return err_fail(err, -ENOMEM, "out of memory");
	source->stray_count = stamps.origin.stray_count;
	source->index_fd = index_file_load(file, cache->path, source->root, err);
	return source->index_fd < 0 ? source->index_fd : 0;
}

void index_cache_take(struct index_cache *cache, struct source *source)
{
	struct err *why = &cache->report.text;
	struct index_file file;
	int rc;

	if (!cache->path || !cache->exists)
		return;
	rc = index_file_open(&file, cache->path, why);
	if (rc == 0)
		rc = take_file(cache, source, &file, why);
	index_file_close(&file);
	if (rc == 0)
		return;
	cache->report.is_warning = rc != -ESTALE;
	forget(source);
}

void index_cache_refuse(struct index_cache *cache, struct source *source, const struct err *fault)
{
	cache->report = (struct index_cache_report){.text = *fault, .is_warning = true};
	forget(source);
}

/* ------------------------------------------------------------------ keeping */

static int write_file(const struct index_cache *cache, const struct source *source, const struct index_view *view)
{
	const struct index_origin origin = {.asked = cache->asked, .stray_count = source->stray_count};
	char *real = realpath(source->root, NULL);
	struct bytes stamps = {0};
	int rc = real ? index_stamps_write(&cache->stamps, &origin, &source->link_targets, &stamps) : -errno;

	if (rc == 0)
		rc = index_file_write(view, real, &stamps, cache->folder_fd, cache->name);
	bytes_free(&stamps);
	free(real);
	return rc;
}

int index_cache_keep(struct index_cache *cache, const struct source *source, const struct index_view *view, struct err *err)
{
	unsigned long long sample_count = view->header->sample_count;
	struct err why = cache->report.text;
	struct stat folder;
	int rc;

	if (!cache->path)
		return 0;
	if (!source->stamps)
		return err_fail(&cache->report.text, 0, "index %s: %llu samples, used as it is", cache->path, sample_count);
	assert(cache->stamps.records.used_bytes > 0); /* else no change would ever be noticed */
	if (fstat(cache->folder_fd, &folder) == 0 && index_stamps_include(&cache->stamps, source->root_fd, &folder))
		return err_fail(err, -EINVAL,
		                "--index %s: would lie in a folder of %s, and change it with every writing; put it elsewhere",
		                cache->path, source->path);
	rc = write_file(cache, source, view);
	if (rc < 0) {
		cache->report.is_warning = true;
		return err_fail(&cache->report.text, 0, "index %s: cannot be written: %s; %s is read at every start%s%s",
		                cache->path, strerror(-rc), source->path, *why.text ? ": " : "", why.text);
	}
	return err_fail(&cache->report.text, 0, "index %s: %llu samples, %s%s", cache->path, sample_count,
	                *why.text ? "made anew: " : "written", why.text);
}
