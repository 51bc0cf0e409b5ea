/*
 * sandbox_seccomp.c - the system calls of a running worker in, a filter on all of its threads out.
 *
 * Any other call fails with EPERM and does not kill: what the C library asks for differs between versions, and nearly all of it
 * can do without (no thread name, one arena less).  A call that fails is no loophole, for nothing in here runs with privileges that
 * it would keep by mistake.  clone3() fails with ENOSYS, and so the C library falls back on clone(), whose flags, unlike clone3()'s,
 * are in registers where a filter can see them: new threads yes, new processes no.
 *
 * Written by hand and not with libseccomp, which crashes or turns in circles when one of its 3,000 allocations fails.  A plain list
 * is no slower than a tree: from Linux 5.11 on the kernel remembers which calls are allowed whatever their arguments.
 * Format: Linux, Documentation/userspace-api/seccomp_filter.rst; networking/filter.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader/run/sandbox_layers.h"

#if defined(__x86_64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define OUR_ARCHITECTURE 0 /* its calls were never looked at */
#endif

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Allowed whatever the arguments. */
/* clang-format off */
static const int plain_calls[] = {
#ifdef __x86_64__ /* newer architectures have only the siblings of these */
	SYS_stat, SYS_lstat, SYS_poll, SYS_epoll_wait, SYS_time,
#endif
	/* files; io_uring_enter: see uring_restrict.c */
	SYS_read, SYS_pread64, SYS_preadv2, SYS_fadvise64, SYS_write, SYS_writev, SYS_close, SYS_lseek, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs,
	SYS_io_uring_enter,
	/* readers: the door, their sockets and pidfds; one that stalls may be killed */
	SYS_accept4, SYS_recvmsg, SYS_sendmsg, SYS_getsockopt, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_pidfd_send_signal,
	/* waiting and time */
	SYS_ppoll, SYS_futex, SYS_nanosleep, SYS_clock_nanosleep, SYS_clock_gettime, SYS_gettimeofday, SYS_restart_syscall, SYS_wait4,
	/* memory */
	SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_getrandom,
	/* threads, signals, who we are */
	SYS_set_robust_list, SYS_rseq, SYS_sched_yield, SYS_sched_getaffinity, SYS_exit, SYS_exit_group, SYS_rt_sigaction,
	SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack, SYS_getpid, SYS_gettid, SYS_geteuid, SYS_getrusage,
};
static const int cached_opening_calls[] = {
	SYS_openat2, /* its flags are in memory, where a filter cannot see them: only Landlock keeps it from writing */
};
static const int removing_calls[] = {
#ifdef __x86_64__
	SYS_unlink,
#endif
	SYS_unlinkat,
};
/* clang-format on */

/* Allowed when the lower half of argument `argument`, under the mask, is `value`.  A call that stands here twice may be either. */
struct guarded_call {
	int number;
	uint32_t argument, mask, value;
};

enum { LANDLOCK_ABI_WITH_TRUNCATION = 3 }; /* older ones let O_TRUNC pass */

enum { GUARDED_LIMIT = 10, INSTRUCTION_LIMIT = 8 + 2 * (COUNT(plain_calls) + COUNT(cached_opening_calls) + COUNT(removing_calls)) + 6 * GUARDED_LIMIT };

struct program {
	struct sock_filter instruction[INSTRUCTION_LIMIT];
	uint16_t count;
};

static void add(struct program *program, uint16_t code, uint32_t operand)
{
	program->instruction[program->count++] = (struct sock_filter)BPF_STMT(code, operand);
}

static void load(struct program *program, size_t offset)
{
	add(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

/* Goes on if what was loaded is `value`, else `skipped` instructions later. */
static void go_on_if(struct program *program, uint32_t value, uint8_t skipped)
{
	program->instruction[program->count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped);
}

static void end_with(struct program *program, uint32_t verdict)
{
	add(program, BPF_RET | BPF_K, verdict);
}

static void allow_plain(struct program *program, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		go_on_if(program, (uint32_t)calls[i], 1);
		end_with(program, SECCOMP_RET_ALLOW);
	}
}

static void allow_guarded(struct program *program, const struct guarded_call *call)
{
	const size_t lower_half = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? sizeof(uint32_t) : 0;

	load(program, offsetof(struct seccomp_data, nr));
	go_on_if(program, (uint32_t)call->number, 4);
	load(program, offsetof(struct seccomp_data, args) + call->argument * sizeof(uint64_t) + lower_half);
	add(program, BPF_ALU | BPF_AND | BPF_K, call->mask);
	go_on_if(program, call->value, 1);
	end_with(program, SECCOMP_RET_ALLOW);
}

static void write_program(struct program *program, bool removes_socket, int landlock_abi)
{
	const struct guarded_call guarded_calls[] = {
		{SYS_openat, 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY}, /* a temporary file is not for reading only */
		{SYS_ioctl, 1, UINT32_MAX, TIOCGWINSZ},
		{SYS_mmap, 2, PROT_EXEC, 0},
		{SYS_mprotect, 2, PROT_EXEC, 0},
		{SYS_clone, 0, CLONE_THREAD, CLONE_THREAD},
		{SYS_tgkill, 0, UINT32_MAX, (uint32_t)getpid()}, /* abort() */
		{SYS_prctl, 0, UINT32_MAX, PR_SET_NAME},
		{SYS_prctl, 0, UINT32_MAX, PR_GET_NAME},
	};

	_Static_assert(COUNT(guarded_calls) <= GUARDED_LIMIT, "there is room for them");
	program->count = 0;
	/* Numbers mean something else in the calls of a foreign architecture, such as the 32-bit ones of x86. */
	load(program, offsetof(struct seccomp_data, arch));
	go_on_if(program, OUR_ARCHITECTURE, 1);
	add(program, BPF_JMP | BPF_JA, 1);
	end_with(program, SECCOMP_RET_ERRNO | EPERM);
	load(program, offsetof(struct seccomp_data, nr));
	allow_plain(program, plain_calls, COUNT(plain_calls));
	if (landlock_abi >= LANDLOCK_ABI_WITH_TRUNCATION)
		allow_plain(program, cached_opening_calls, COUNT(cached_opening_calls));
	if (removes_socket)
		allow_plain(program, removing_calls, COUNT(removing_calls));
	go_on_if(program, SYS_clone3, 1);
	end_with(program, SECCOMP_RET_ERRNO | ENOSYS);
	for (size_t i = 0; i < COUNT(guarded_calls); i++)
		allow_guarded(program, &guarded_calls[i]);
	end_with(program, SECCOMP_RET_ERRNO | EPERM);
}

int sandbox_seccomp(bool removes_socket, int landlock_abi, struct err *why)
{
	/* SPEC_ALLOW: without it, kernels before 5.16 would slow the whole process down against Spectre 4. */
	const unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	struct program program;
	long result;

	if (OUR_ARCHITECTURE == 0)
		return err_fail(why, -ENOTSUP, "there is a filter for x86-64 and for arm64 only");
	write_program(&program, removes_socket, landlock_abi);
	result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags,
	                 &(struct sock_fprog){.len = program.count, .filter = program.instruction});
	if (result > 0)
		return err_fail(why, -EBUSY, "thread %ld has a filter of its own", result);
	return result < 0 ? err_fail(why, -errno, "the filter cannot be set: %s", strerror(errno)) : 0;
}
