/*
 * link_targets.h - part of stage 1 of 5: symbolic links in, the few folders outside of the source that they lead to out.
 *
 * For the sandbox, which lets the worker read its source and these folders, nothing else.  One thread.
 */
#ifndef CROPRING_LINK_TARGETS_H
#define CROPRING_LINK_TARGETS_H

#include <stdbool.h>
#include <stdint.h>

enum { LINK_TARGETS_MAX = 64 };

/* Real paths.  No folder lies in another one, nor in the source; where there would be too many, parents take their place. */
struct link_targets {
	char *source; /* the real path; NULL: unknown */
	char *folder[LINK_TARGETS_MAX];
	uint32_t count;

	/*
	 * Every link can be followed without leaving the source on the way, so that whoever opens its files may insist on it
	 * (RESOLVE_BENEATH, which refuses absolute targets wherever they lead).
	 */
	bool stay_beneath;
	int root_fd;       /* the caller's */
	const char *place; /* of the directory that is listed, relative to the source; NULL: unknown */
};

/* root_fd (O_PATH is enough) is the source. */
void link_targets_open(struct link_targets *targets, int root_fd);
void link_targets_close(struct link_targets *targets);

/*
 * `name` in directory_fd is a link to a folder, or to something else, whose folder is then what counts.  Five system calls; links
 * that lead nowhere are passed over.  Where a path cannot be told (no /proc) it is "/".  -ENOMEM.
 */
int link_targets_add(struct link_targets *targets, int directory_fd, const char *name, bool is_folder);

/* A folder by its real path.  -ENOMEM. */
int link_targets_add_folder(struct link_targets *targets, const char *path);

/* All that another list holds. */
int link_targets_join(struct link_targets *targets, const struct link_targets *more);

#endif
