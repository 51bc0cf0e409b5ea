/* hunger.c - a clock that is read whenever something changes: twice for each row at most, and not at all while every thread has one. */
#include "loader/run/hunger.h"

#include "base/clock.h"

void hunger_open(struct hunger *hunger)
{
	*hunger = (struct hunger){.hungry = 0};
	pthread_mutex_init(&hunger->lock, NULL);
}

void hunger_close(struct hunger *hunger)
{
	pthread_mutex_destroy(&hunger->lock);
}

/* Counts the time since the last change to what it was spent on.  Under the lock, before anything changes. */
static void count_up(struct hunger *hunger)
{
	uint64_t now_ns, spent_ns;

	if (hunger->hungry == 0)
		return;
	now_ns = clock_now_ns();
	spent_ns = (now_ns - hunger->until_ns) * hunger->hungry;
	hunger->until_ns = now_ns;
	if (hunger->coming > 0)
		hunger->wait_ns += spent_ns;
	else if (hunger->has_reader)
		hunger->idle_ns += spent_ns;
}

void hunger_reader_came(struct hunger *hunger)
{
	pthread_mutex_lock(&hunger->lock);
	count_up(hunger);
	hunger->has_reader = true;
	pthread_mutex_unlock(&hunger->lock);
}

void hunger_row_goes(struct hunger *hunger)
{
	pthread_mutex_lock(&hunger->lock);
	if (hunger->coming == 0)
		count_up(hunger);
	hunger->coming++;
	pthread_mutex_unlock(&hunger->lock);
}

void hunger_row_comes(struct hunger *hunger)
{
	pthread_mutex_lock(&hunger->lock);
	if (hunger->coming == 1)
		count_up(hunger);
	hunger->coming--;
	pthread_mutex_unlock(&hunger->lock);
}

void hunger_begins(struct hunger *hunger)
{
	pthread_mutex_lock(&hunger->lock);
	if (hunger->hungry == 0)
		hunger->until_ns = clock_now_ns();
	else
		count_up(hunger);
	hunger->hungry++;
	pthread_mutex_unlock(&hunger->lock);
}

void hunger_ends(struct hunger *hunger)
{
	pthread_mutex_lock(&hunger->lock);
	count_up(hunger);
	hunger->hungry--;
	pthread_mutex_unlock(&hunger->lock);
}

void hunger_read(struct hunger *hunger, uint64_t *wait_ns, uint64_t *idle_ns)
{
	pthread_mutex_lock(&hunger->lock);
	count_up(hunger);
	*wait_ns = hunger->wait_ns;
	*idle_ns = hunger->idle_ns;
	pthread_mutex_unlock(&hunger->lock);
}
