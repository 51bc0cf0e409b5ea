/*
 * manifest_root.h - the folder that a manifest's paths begin at, and its paths in; paths relative to that folder out.
 *
 * Paths are compared as text: no file is looked for.  Links are followed when a file is opened.
 */
#ifndef CROPRING_MANIFEST_ROOT_H
#define CROPRING_MANIFEST_ROOT_H

#include <stddef.h>

#include "base/err.h"

struct manifest_root {
	int fd;             /* O_PATH */
	const char *folder; /* as the user named it; the caller's */
	char *named, *real; /* the same made absolute, and without any link; NULL: unknown */
};

/* -ENOENT, -ENOTDIR, -EACCES, ..., -ENOMEM.  To be closed also after an error. */
int manifest_root_open(struct manifest_root *root, const char *folder, struct err *err);
void manifest_root_close(struct manifest_root *root);

/* NULL and the relative path, which is a part of `path`; or what speaks against it, perhaps in *reason. */
const char *manifest_root_path(const struct manifest_root *root, const char *path, const char **relative, struct err *reason);

#endif
