/* kernel_has.h - what a test needs of the kernel, or is skipped: an emulator of user programs does not hand on every call. */
#ifndef CROPRING_TESTS_KERNEL_HAS_H
#define CROPRING_TESTS_KERNEL_HAS_H

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A path can be kept beneath a folder: Linux 5.6. */
static inline void kernel_has_openat2_or_skip(void)
{
	if (syscall(SYS_openat2, -1, NULL, NULL, 0) < 0 && errno == ENOSYS)
		skip();
}

/* An emulator accepts RLIMIT_AS and does not pass it on, for its own memory counts as well; and so do its page tables. */
static inline void kernel_has_address_limits_or_skip(void)
{
	struct rlimit before, low, heeded;

	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	low = (struct rlimit){.rlim_cur = before.rlim_cur - 1, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
	assert_int_equal(getrlimit(RLIMIT_AS, &heeded), 0);
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	if (heeded.rlim_cur != low.rlim_cur)
		skip();
}

#endif
