/*
 * sandbox.h - after start, the worker reads files under its source and does nothing else, whoever is in command of it.
 *
 * A picture is bytes from strangers, and its decoder is a large C library.  Should one take over the process, it finds:
 *   no_new_privs, RLIMIT_CORE 0   no set-user-id program helps it, no memory goes into a core file
 *   Landlock                      files are open to it for reading, under the source and where the source's links led; nothing
 *                                 else in the file system, no TCP (sandbox_landlock.c)
 *   seccomp                       of some 350 system calls those 60 or so that a running worker makes (sandbox_seccomp.c)
 *   a restricted io_uring         the same for what the ring does, which seccomp does not see (fetch/uring_restrict.c)
 *
 * Left to it is what readers gave away: the ring's memory, their sockets, and their pidfds, to which it may send signals.
 */
#ifndef CROPRING_SANDBOX_H
#define CROPRING_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "loader/plan/link_targets.h"

enum sandbox_mode { SANDBOX_AUTO, SANDBOX_REQUIRE, SANDBOX_OFF }; /* in the order of --sandbox */

struct sandbox_needs {
	int source_fd;                           /* O_PATH is enough; -1: all of it is open already */
	const struct link_targets *links;        /* of the source */
	bool source_is_everything;               /* it is "/" */
	int target_fd;                           /* a folder of targets, with links of its own; not looked at without them */
	const struct link_targets *target_links; /* NULL: there is none */
	const char *socket_path;                 /* a socket file to be removed at the end; NULL: none */
};

/* What is in force.  All zero but the mode before it begins. */
struct sandbox {
	enum sandbox_mode mode;
	int landlock_abi;        /* 0: not in force */
	uint32_t root_count;     /* folders that may be read */
	bool reads_everything;   /* one of them is "/" */
	bool seccomp, ring;      /* ring: there is an io_uring, and it is restricted */
	struct err why_no_files; /* why Landlock is not in force */
	struct err why_no_calls; /* the same for seccomp */
};

/*
 * The two steps: files, while there is one thread, which later ones take after; then system calls, for all threads that there
 * are, once nothing is left to be set up.  `has_ring`, `ring_is_confined`: see fetch_is_confined().
 *
 * 0, whatever is in force, under SANDBOX_AUTO and SANDBOX_OFF; under SANDBOX_REQUIRE -ENOTSUP, with a sentence that names what is
 * missing.
 */
int sandbox_limit_files(struct sandbox *sandbox, const struct sandbox_needs *needs, struct err *err);
int sandbox_limit_calls(struct sandbox *sandbox, const struct sandbox_needs *needs, bool has_ring, bool ring_is_confined,
                        struct err *err);

/* "Landlock 7 (2 roots), seccomp, io_uring restricted" */
void sandbox_describe(const struct sandbox *sandbox, char *text, size_t text_bytes);

/* Why no sandbox is possible in this build, or NULL. */
const char *sandbox_obstacle(void);

#endif
