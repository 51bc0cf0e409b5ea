/* seats.c - the rules by which readers get their number and their share of the slots. */
#include "shmring/seats.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 3, 4))) static void refuse(struct refusal *refusal, int code, const char *format, ...)
{
	va_list arguments;

	refusal->code = code;
	va_start(arguments, format);
	vsnprintf(refusal->text, sizeof refusal->text, format, arguments);
	va_end(arguments);
}

static uint32_t choose_wanted_number(const struct seat *seats, const struct shmring_producer *producer, int32_t wanted,
                                     struct refusal *refusal)
{
	uint32_t number = (uint32_t)wanted;

	if (wanted < 0 || number >= producer->reader_limit)
		refuse(refusal, -EINVAL, "ring '%s' has readers 0 to %u: there is no number %d", producer->name,
		       producer->reader_limit - 1, wanted);
	else if (seats[number].pidfd >= 0)
		refuse(refusal, -EBUSY, "reader %u of ring '%s' is process %d%s", number, producer->name, seats[number].pid,
		       seats[number].has_left ? ", which left but still holds batches" : "");
	return number;
}

uint32_t seats_choose_number(const struct seat seats[LAYOUT_MAX_READERS], const struct shmring_producer *producer, int32_t wanted,
                             struct refusal *refusal)
{
	uint32_t number = 0;

	if (wanted != SHMRING_ANY_NUMBER)
		return choose_wanted_number(seats, producer, wanted, refusal);
	while (number < producer->reader_limit && seats[number].pidfd >= 0)
		number++;
	if (number == producer->reader_limit)
		refuse(refusal, -EBUSY, "ring '%s' has all its readers, %u (process %d is the first): start it with more --readers",
		       producer->name, producer->reader_limit, seats[0].pid);
	return number;
}

uint32_t seats_choose_hold(const struct seat seats[LAYOUT_MAX_READERS], const struct shmring_producer *producer, uint32_t wanted,
                           struct refusal *refusal)
{
	uint32_t all = producer->slot_count - 1, share = all / producer->reader_limit, taken = 0, left;

	for (int i = 0; i < LAYOUT_MAX_READERS; i++)
		taken += seats[i].pidfd >= 0 ? seats[i].hold : 0;
	left = all - taken;
	if (wanted == 0)
		wanted = share < left ? share : left;
	if (wanted >= 1 && wanted <= left)
		return wanted;
	refuse(refusal, -EBUSY,
	       "ring '%s' has %u slots; one is always being filled, and its other readers may hold %u, so nobody can hold %u more: "
	       "start "
	       "it with more --slots, or join with a smaller hold",
	       producer->name, producer->slot_count, taken, wanted > 0 ? wanted : 1);
	return 0;
}
