/* sandbox.c - the layers put together: which are in force, what is missing, and what --sandbox says to that. */
#include "loader/run/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "loader/run/sandbox_layers.h"

#if defined(__has_feature) /* clang's way to say what gcc says with macros */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED 1
#endif

const char *sandbox_obstacle(void)
{
#ifdef SANDBOX_SANITIZED
	return "this is a sanitizer build, whose leak check needs ptrace and /proc";
#else
	return NULL;
#endif
}

/* The two that every kernel has.  They stand whatever becomes of the rest. */
static int limit_process(struct err *why)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_fail(why, -errno, "setrlimit: %s", strerror(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_fail(why, -errno, "PR_SET_NO_NEW_PRIVS: %s", strerror(errno));
	return 0;
}

static int refuse(const struct sandbox *sandbox, const char *what, const char *why, struct err *err)
{
	if (sandbox->mode != SANDBOX_REQUIRE)
		return 0;
	return err_fail(err, -ENOTSUP, "--sandbox require: %s (%.300s); make it available, or use --sandbox auto", what, why);
}

static bool reads_everything(const struct link_targets *links)
{
	for (uint32_t i = 0; links && i < links->count; i++) {
		if (strcmp(links->folder[i], "/") == 0)
			return true;
	}
	return false;
}

int sandbox_limit_files(struct sandbox *sandbox, const struct sandbox_needs *needs, struct err *err)
{
	int rc;

	if (sandbox->mode == SANDBOX_OFF)
		return 0;
	if (sandbox_obstacle())
		return refuse(sandbox, "there is no sandbox", sandbox_obstacle(), err);
	rc = limit_process(&sandbox->why_no_files);
	if (rc == 0)
		rc = sandbox_landlock(needs, &sandbox->root_count, &sandbox->why_no_files);
	if (rc < 0)
		return refuse(sandbox, "Landlock is missing", sandbox->why_no_files.text, err);
	sandbox->landlock_abi = rc;
	sandbox->reads_everything = reads_everything(needs->links) || reads_everything(needs->target_links);
	if (sandbox->reads_everything)
		return refuse(sandbox, "files cannot be kept apart",
		              "the symbolic links of the source lead all over the file system", err);
	sandbox->reads_everything = needs->source_is_everything; /* as was asked for */
	return 0;
}

int sandbox_limit_calls(struct sandbox *sandbox, const struct sandbox_needs *needs, bool has_ring, bool ring_is_confined,
                        struct err *err)
{
	if (sandbox->mode == SANDBOX_OFF || sandbox_obstacle())
		return 0;
	sandbox->ring = has_ring && ring_is_confined;
	sandbox->seccomp = sandbox_seccomp(needs->socket_path != NULL, sandbox->landlock_abi, &sandbox->why_no_calls) == 0;
	if (!sandbox->seccomp)
		return refuse(sandbox, "seccomp is missing", sandbox->why_no_calls.text, err);
	if (!ring_is_confined)
		return refuse(sandbox, "io_uring is not restricted", "this kernel does not do it, but --io pread is possible", err);
	return 0;
}

void sandbox_describe(const struct sandbox *sandbox, char *text, size_t text_bytes)
{
	char files[256], calls[256];

	if (sandbox->mode == SANDBOX_OFF || sandbox_obstacle()) {
		snprintf(text, text_bytes, "off (%s)", sandbox->mode == SANDBOX_OFF ? "--sandbox off" : sandbox_obstacle());
		return;
	}
	if (sandbox->landlock_abi > 0)
		snprintf(files, sizeof files, "Landlock %d (%u root%s%s)", sandbox->landlock_abi, sandbox->root_count,
		         sandbox->root_count == 1 ? "" : "s", sandbox->reads_everything ? ", one is /" : "");
	else
		snprintf(files, sizeof files, "no Landlock (%.200s)", sandbox->why_no_files.text);
	if (sandbox->seccomp)
		snprintf(calls, sizeof calls, "seccomp");
	else
		snprintf(calls, sizeof calls, "no seccomp (%.200s)", sandbox->why_no_calls.text);
	snprintf(text, text_bytes, "%s, %s%s", files, calls, sandbox->ring ? ", io_uring restricted" : "");
}
