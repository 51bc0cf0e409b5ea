/*
 * sandbox_landlock.c - the folders that the worker may read in, a Landlock domain out.  One thread, and all that it starts.
 *
 * Rules stand for what lies beneath a folder, wherever a path to it begins: opening through the source's descriptor goes on
 * working, and so does an open that io_uring does for us.  What is open already stays open.
 * Format: Linux, Documentation/userspace-api/landlock.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader/run/sandbox_layers.h"

/* struct landlock_ruleset_attr as of ABI 6; older headers lack the last two.  What a kernel does not know must be 0. */
struct domain {
	uint64_t handled_access_fs, handled_access_net, scoped;
};

#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

/* All that this ABI can forbid, but for signals: a reader that stalls may have to be killed. */
static struct domain everything(int abi)
{
	const uint64_t refer = 1 << 13, truncate = 1 << 14, ioctl_dev = 1 << 15;          /* ABI 2, 3, 5 */
	const uint64_t bind_tcp = 1 << 0, connect_tcp = 1 << 1, abstract_socket = 1 << 0; /* ABI 4, 4, 6 */
	struct domain domain = {.handled_access_fs = refer - 1};

	if (abi >= 2)
		domain.handled_access_fs |= refer;
	if (abi >= 3)
		domain.handled_access_fs |= truncate;
	if (abi >= 4)
		domain.handled_access_net = bind_tcp | connect_tcp;
	if (abi >= 5)
		domain.handled_access_fs |= ioctl_dev;
	if (abi >= 6)
		domain.scoped = abstract_socket;
	return domain;
}

static int allow(int ruleset_fd, int fd, uint64_t access)
{
	const struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};

	return syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 ? 0 : -errno;
}

/* What is not there any more needs no rule. */
static int allow_path(int ruleset_fd, const char *path, uint64_t access)
{
	int fd = open(path, O_PATH | O_CLOEXEC), rc;

	if (fd < 0)
		return 0;
	rc = allow(ruleset_fd, fd, access);
	close(fd);
	return rc;
}

static int allow_removal_of_socket(int ruleset_fd, const char *socket_path)
{
	char folder[PATH_MAX];

	if (strlen(socket_path) >= sizeof folder)
		return -ENAMETOOLONG;
	strcpy(folder, socket_path);
	return allow_path(ruleset_fd, dirname(folder), LANDLOCK_ACCESS_FS_REMOVE_FILE);
}

/* And the folders that its links lead to. */
static int allow_folder(int ruleset_fd, int fd, const struct link_targets *links)
{
	int rc = allow(ruleset_fd, fd, READING);

	for (uint32_t i = 0; rc == 0 && i < links->count; i++)
		rc = allow_path(ruleset_fd, links->folder[i], READING);
	return rc;
}

static int add_rules(int ruleset_fd, const struct sandbox_needs *needs)
{
	int rc = needs->source_fd >= 0 ? allow_folder(ruleset_fd, needs->source_fd, needs->links) : 0;

	if (rc == 0 && needs->target_links)
		rc = allow_folder(ruleset_fd, needs->target_fd, needs->target_links);
	if (rc == 0)
		rc = allow_path(ruleset_fd, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE); /* the door's spare descriptor */
	if (rc == 0 && needs->socket_path)
		rc = allow_removal_of_socket(ruleset_fd, needs->socket_path);
	return rc;
}

int sandbox_landlock(const struct sandbox_needs *needs, uint32_t *root_count, struct err *why)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION), ruleset_fd, rc;
	struct domain domain;

	if (abi < 1)
		return err_fail(why, -errno, "%s: Linux 5.13 or newer, with landlock among its security modules, has it",
		                strerror(errno));
	domain = everything(abi);
	ruleset_fd = (int)syscall(SYS_landlock_create_ruleset, &domain, sizeof domain, 0);
	if (ruleset_fd < 0)
		return err_fail(why, -errno, "landlock_create_ruleset: %s", strerror(errno));
	rc = add_rules(ruleset_fd, needs);
	if (rc < 0)
		err_fail(why, rc, "landlock_add_rule: %s", strerror(-rc));
	else if (syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0)
		rc = err_fail(why, -errno, "landlock_restrict_self: %s", strerror(errno));
	close(ruleset_fd);
	if (rc < 0)
		return rc;
	*root_count = needs->source_fd >= 0 ? 1 + needs->links->count : 0;
	if (needs->target_links)
		*root_count += 1 + needs->target_links->count;
	return abi;
}
