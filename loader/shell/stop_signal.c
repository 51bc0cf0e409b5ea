/* stop_signal.c - Ctrl-C and its like, for commands that have something to take away before they end. */
#include "loader/shell/stop_signal.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_int noted;

static void note(int number)
{
	atomic_store_explicit(&noted, number, memory_order_relaxed); /* relaxed: the number is all there is */
}

void stop_signal_catch(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		struct sigaction action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND}, before;

		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			(void)sigaction(numbers[i], &action, NULL);
	}
}

int stop_signal_number(void)
{
	return atomic_load_explicit(&noted, memory_order_relaxed); /* relaxed: as above */
}

void stop_signal_end(void)
{
	if (stop_signal_number())
		(void)raise(stop_signal_number()); /* whose handler was reset when it came */
}
