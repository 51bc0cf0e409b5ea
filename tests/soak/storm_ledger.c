/* storm_ledger.c - the ledger's memory, and how faults get into it. */
#include "tests/soak/storm_ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

struct storm_ledger *storm_ledger_open(const struct storm_options *options)
{
	struct storm_ledger *ledger =
		mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ledger == MAP_FAILED)
		return NULL;
	ledger->options = *options;
	atomic_store(&ledger->claimed_ring, options->first_ring);
	return ledger;
}

void storm_ledger_close(struct storm_ledger *ledger)
{
	munmap(ledger, sizeof *ledger);
}

void storm_complain(struct storm_ledger *ledger, enum storm_fault fault, const char *format, ...)
{
	va_list arguments;

	atomic_fetch_add(&ledger->fault[fault], 1);
	if (atomic_exchange(&ledger->complained, true))
		return;
	va_start(arguments, format);
	vsnprintf(ledger->complaint, sizeof ledger->complaint, format, arguments);
	va_end(arguments);
}

uint32_t storm_fault_count(const struct storm_ledger *ledger)
{
	uint32_t count = 0;

	for (int i = 0; i < STORM_FAULT_COUNT; i++)
		count += atomic_load(&ledger->fault[i]);
	return count;
}

void storm_raise(_Atomic uint64_t *maximum, uint64_t value)
{
	uint64_t seen = atomic_load(maximum);

	while (seen < value && !atomic_compare_exchange_weak(maximum, &seen, value))
		;
}
