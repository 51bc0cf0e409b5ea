/*
 * crash.c - a thread's note of its sample, and the handler that marks it when the thread crashes.  Each thread for itself; the
 * handler runs in the thread that crashed.
 */
#include "loader/run/crash.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__has_feature) /* clang's way to say what gcc says with macros */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define CRASH_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CRASH_SANITIZED 1
#endif

enum { STACK_BYTES = 64 << 10 }; /* the kernel's frame takes 12 KB where registers are widest; the handler next to nothing */

/* Of this thread; no producer: it keeps no note. */
static _Thread_local struct {
	struct shmring_producer *producer;
	uint32_t index;
	uint64_t note;
	void *stack;
} own;

#ifdef CRASH_SANITIZED

void crash_catch_signals(void)
{
}

#else

/* Only what is async-signal-safe: stores, getpid() and raise(). */
static void mark_and_die(int number, siginfo_t *info, void *context)
{
	/* Of its own making: a fault, or raised here as abort() does.  What another process sends is no sample's fault. */
	bool own_fault = info->si_code > 0 || info->si_pid == getpid();

	(void)context;
	if (own.producer && own_fault)
		shmring_note(own.producer, own.index, own.note | CRASH_CULPRIT);
	/* Blocked until we return, and then deadly: the handler is gone (SA_RESETHAND). */
	(void)raise(number);
}

void crash_catch_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT, SIGSYS};
	struct sigaction action = {.sa_sigaction = mark_and_die, .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};

	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		(void)sigaction(signals[i], &action, NULL); /* fails for no signal of these */
}

#endif

void crash_enter(struct shmring_producer *producer, uint32_t index)
{
	stack_t stack = {.ss_size = STACK_BYTES};

	/* A stack that overflowed has no room for a handler.  Without this one only the mark of that crash is missing. */
	own.stack = stack.ss_sp = malloc(STACK_BYTES);
	if (stack.ss_sp)
		(void)sigaltstack(&stack, NULL);
	own.index = index;
	own.producer = index < SHMRING_MAX_NOTES ? producer : NULL;
}

void crash_leave(void)
{
	const stack_t none = {.ss_flags = SS_DISABLE};

	crash_note_none();
	own.producer = NULL;
	(void)sigaltstack(&none, NULL);
	free(own.stack);
	own.stack = NULL;
}

static void take_down(uint64_t note)
{
	own.note = note;
	if (own.producer)
		shmring_note(own.producer, own.index, note);
}

void crash_note_sample(uint64_t sample)
{
	take_down(sample + 1);
}

void crash_note_none(void)
{
	take_down(0);
}
