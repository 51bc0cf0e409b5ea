/*
 * child_rig.h - tests of what cannot be undone (a filter, a sandbox): each runs in a child process, which tries things from inside.
 *
 * A child uses EXPECT(): cmocka's asserts belong to the parent.
 */
#ifndef CHILD_RIG_H
#define CHILD_RIG_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHILD_OK = 42, CHILD_WATCHDOG_S = 180 };

/* Prints what went wrong and ends the child. */
#define EXPECT(condition) child_expect((condition), #condition, __FILE__, __LINE__)

static inline void child_expect(bool condition, const char *text, const char *file, int line)
{
	if (condition)
		return;
	fprintf(stderr, "%s:%d: not so: %s (%s)\n", file, line, text, strerror(errno));
	_exit(1);
}

/* The wait status of a child that did `body` and then ended with CHILD_OK, or otherwise before. */
static inline int child_status(void (*body)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		alarm(CHILD_WATCHDOG_S);
		body();
		_exit(CHILD_OK);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static inline void child_succeeds(void (*body)(void))
{
	int status = child_status(body);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), CHILD_OK);
}

/* From now on, this system call of this process fails with `error`. */
static inline void child_refuse_call(uint32_t number, uint32_t error)
{
	struct sock_filter instructions[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof instructions / sizeof *instructions, .filter = instructions};

	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

#endif
