/* pack_crash.c - part of `cropring pack`: the name of the file on which a thread crashed.  The handler runs in that thread. */
#include "loader/pack/pack_crash.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static _Thread_local const char *volatile current;

#if defined(__has_feature) /* clang's way to say what gcc says with macros */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define PACK_CRASH_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PACK_CRASH_SANITIZED 1
#endif

#ifdef PACK_CRASH_SANITIZED

void pack_crash_catch_signals(void)
{
}

#else

/* Only what is async-signal-safe. */
static void say_and_die(int number)
{
	static const char before[] = "\ncropring: error: ",
			  after[] = ": the codec crashed on this file; put an empty one in its place, and go on with --resume\n";
	const char *name = current;

	if (name) {
		const struct iovec pieces[] = {{(void *)(uintptr_t)before, sizeof before - 1},
		                               {(void *)(uintptr_t)name, strlen(name)},
		                               {(void *)(uintptr_t)after, sizeof after - 1}};

		if (writev(STDERR_FILENO, pieces, 3) < 0)
			current = NULL; /* nobody is left to tell */
	}
	(void)raise(number); /* blocked until we return, and then deadly: the handler is gone (SA_RESETHAND) */
}

void pack_crash_catch_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT};
	struct sigaction action = {.sa_handler = say_and_die, .sa_flags = (int)SA_RESETHAND};

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		(void)sigaction(signals[i], &action, NULL); /* fails for no signal of these */
}

#endif

void pack_crash_note(const char *name)
{
	current = name;
}
