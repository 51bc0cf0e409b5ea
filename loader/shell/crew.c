/* crew.c - several threads that do the same until there is no more of it. */
#include "loader/shell/crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "loader/run/limits.h"

enum { AUTO_MOST = 8 };

struct hand {
	void (*work)(void *context, uint32_t number);
	void *context;
	uint32_t number;
	pthread_t thread;
	bool is_running;
};

uint32_t crew_size(uint32_t wanted, uint64_t pieces)
{
	uint32_t size = wanted ? wanted : limits_cpu_count();

	if (!wanted && size > AUTO_MOST)
		size = AUTO_MOST;
	return pieces >= size ? size : pieces ? (uint32_t)pieces : 1;
}

static void *run_hand(void *argument)
{
	const struct hand *hand = argument;

	hand->work(hand->context, hand->number);
	return NULL;
}

int crew_run(uint32_t size, void (*work)(void *context, uint32_t number), void *context)
{
	struct hand *hands = calloc(size, sizeof *hands);

	if (!hands)
		return -ENOMEM;
	for (uint32_t i = 1; i < size; i++) {
		hands[i] = (struct hand){.work = work, .context = context, .number = i};
		hands[i].is_running = pthread_create(&hands[i].thread, NULL, run_hand, &hands[i]) == 0;
	}
	work(context, 0);
	for (uint32_t i = 1; i < size; i++)
		if (hands[i].is_running)
			(void)pthread_join(hands[i].thread, NULL); /* it is there, and nobody else joins it */
	free(hands);
	return 0;
}
