/* manifest_root.c - part of stage 1 of 5: a manifest's paths in, paths relative to one folder out.  One thread. */
#include "loader/plan/manifest/manifest_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_parent_step(const char *path)
{
	for (const char *name = path;; name++) {
		size_t length = strcspn(name, "/");

		if (length == 2 && name[0] == '.' && name[1] == '.')
			return true;
		name += length;
		if (*name == '\0')
			return false;
	}
}

static const char *without_first_steps(const char *path)
{
	while (path[0] == '.' && path[1] == '/')
		path += 1 + strspn(path + 1, "/");
	return path;
}

/* The folder's name from the file system's root on, without a slash at its end; NULL: it has steps up, or there is no memory. */
static char *made_absolute(const char *folder)
{
	char *here = folder[0] == '/' ? strdup("") : getcwd(NULL, 0), *whole = NULL;

	folder = without_first_steps(folder);
	if (strcmp(folder, ".") == 0)
		folder = "";
	if (here && !has_parent_step(folder) && asprintf(&whole, "%s%s%s", here, folder[0] == '/' ? "" : "/", folder) < 0)
		whole = NULL;
	for (size_t length = whole ? strlen(whole) : 0; length > 0 && whole[length - 1] == '/'; length--)
		whole[length - 1] = '\0';
	free(here);
	return whole;
}

int manifest_root_open(struct manifest_root *root, const char *folder, struct err *err)
{
	*root = (struct manifest_root){.folder = folder, .fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC)};
	if (root->fd < 0)
		return err_fail(err, -errno, "%s: cannot open this folder, at which the manifest's paths begin: %s", folder,
		                strerror(errno));
	root->named = made_absolute(folder);
	root->real = realpath(folder, NULL);
	if (root->real && strcmp(root->real, "/") == 0)
		root->real[0] = '\0';
	return 0;
}

void manifest_root_close(struct manifest_root *root)
{
	if (root->fd >= 0)
		close(root->fd);
	free(root->named);
	free(root->real);
	*root = (struct manifest_root){.fd = -1};
}

/* "/data/a.jpg" below "/data" -> "a.jpg". */
static const char *below(const char *path, const char *folder)
{
	size_t length = folder ? strlen(folder) : 0;

	if (!folder || strncmp(path, folder, length) != 0 || path[length] != '/')
		return NULL;
	return path + length + strspn(path + length, "/");
}

const char *manifest_root_path(const struct manifest_root *root, const char *path, const char **relative, struct err *reason)
{
	const char *rest = path;

	if (path[0] == '/') {
		rest = below(path, root->named);
		if (!rest)
			rest = below(path, root->real);
		if (!rest) {
			err_fail(reason, 0, "does not lie in %s, where paths begin; name a folder above it with --root",
			         root->folder);
			return reason->text;
		}
	}
	rest = without_first_steps(rest);
	if (has_parent_step(rest)) {
		err_fail(reason, 0, "has a step up (\"..\"); paths begin at %s, or at the folder that --root names, and stay in it",
		         root->folder);
		return reason->text;
	}
	if (*rest == '\0')
		return "names no file";
	if (strlen(rest) >= PATH_MAX)
		return "is longer than any path may be";
	*relative = rest;
	return NULL;
}
