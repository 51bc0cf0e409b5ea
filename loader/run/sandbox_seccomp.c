/*
 * sandbox_seccomp.c - the system calls of a running worker in, a filter on all of its threads out.
 *
 * Any other call fails with EPERM and does not kill: what the C library asks for differs between versions, and nearly all of it
 * can do without (no thread name, one arena less).  A call that fails is no loophole, for nothing in here runs with privileges that
 * it would keep by mistake.  clone3() fails with ENOSYS, and so the C library falls back on clone(), whose flags, unlike clone3()'s,
 * are in registers where a filter can see them: new threads yes, new processes no.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "loader/run/sandbox_layers.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Allowed whatever the arguments.  Where an architecture lacks one, its sibling does the work. */
/* clang-format off */
static const int plain_calls[] = {
	/* files; io_uring_enter: see uring_restrict.c */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(lseek), SCMP_SYS(stat), SCMP_SYS(lstat),
	SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(fstatat64), SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs),
	SCMP_SYS(statfs64), SCMP_SYS(fstatfs64), SCMP_SYS(io_uring_enter),
	/* readers: the door, their sockets and pidfds; one that stalls may be killed */
	SCMP_SYS(accept4), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(getsockopt), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(pidfd_send_signal),
	/* waiting and time */
	SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(ppoll_time64), SCMP_SYS(futex), SCMP_SYS(futex_time64), SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_nanosleep_time64), SCMP_SYS(clock_gettime), SCMP_SYS(clock_gettime64),
	SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(restart_syscall), SCMP_SYS(wait4),
	/* memory */
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(getrandom),
	/* threads, signals, who we are */
	SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(getpid),
	SCMP_SYS(gettid), SCMP_SYS(geteuid), SCMP_SYS(geteuid32), SCMP_SYS(getrusage),
};
/* clang-format on */

/* Allowed when argument `argument`, under the mask, is `value`.  A call that stands here twice may be either. */
struct guarded_call {
	int number;
	unsigned int argument;
	uint64_t mask, value;
};

static int add_guarded(scmp_filter_ctx filter, const struct guarded_call *call)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call->number, 1,
	                        SCMP_CMP(call->argument, SCMP_CMP_MASKED_EQ, call->mask, call->value));
}

static int add_rules(scmp_filter_ctx filter, bool removes_socket)
{
	const struct guarded_call guarded_calls[] = {
		{SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY}, /* a temporary file is not for reading only */
		{SCMP_SYS(ioctl), 1, UINT32_MAX, TIOCGWINSZ},
		{SCMP_SYS(mmap), 2, PROT_EXEC, 0},
		{SCMP_SYS(mmap2), 2, PROT_EXEC, 0},
		{SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
		{SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD},
		{SCMP_SYS(tgkill), 0, UINT32_MAX, (uint32_t)getpid()}, /* abort() */
		{SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_NAME},
		{SCMP_SYS(prctl), 0, UINT32_MAX, PR_GET_NAME},
	};
	int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	for (size_t i = 0; rc == 0 && i < COUNT(plain_calls); i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain_calls[i], 0);
	for (size_t i = 0; rc == 0 && i < COUNT(guarded_calls); i++)
		rc = add_guarded(filter, &guarded_calls[i]);
	if (rc == 0 && removes_socket)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(unlink), 0);
	if (rc == 0 && removes_socket)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(unlinkat), 0);
	return rc;
}

int sandbox_seccomp(bool removes_socket, struct err *why)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc;

	if (!filter)
		return err_fail(why, -ENOMEM, "no memory for a filter");
	rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0) /* the other way round, kernels before 5.16 would slow the whole process down against Spectre 4 */
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	if (rc == 0)
		rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
	if (rc == 0)
		rc = add_rules(filter, removes_socket);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	return rc < 0 ? err_fail(why, rc, "the filter cannot be set: %s", strerror(-rc)) : 0;
}
