/* pack_tally.c - part of `cropring pack`: counts of what became of the pictures.  One thread. */
#include "loader/pack/pack_tally.h"

#include <stdio.h>
#include <string.h>

static const char others[] = "other reasons";

static struct pack_tally_kind *find(struct pack_tally *tally, enum pack_outcome outcome, const char *reason)
{
	struct pack_tally_kind *kind = tally->kind;

	while (kind < tally->kind + tally->kind_count && (kind->outcome != outcome || strcmp(kind->reason, reason) != 0))
		kind++;
	return kind;
}

void pack_tally_add(struct pack_tally *tally, uint64_t picture, enum pack_outcome outcome, const char *reason)
{
	const struct pack_tally_kind *end = tally->kind + tally->kind_count;
	struct pack_tally_kind *kind = find(tally, outcome, reason);

	/* One place for each outcome is kept for its other reasons. */
	if (kind == end && tally->kind_count >= PACK_TALLY_KINDS - PACK_OUTCOME_COUNT) {
		reason = others;
		kind = find(tally, outcome, reason);
	}
	if (kind == end) {
		*kind = (struct pack_tally_kind){.outcome = outcome};
		snprintf(kind->reason, sizeof kind->reason, "%s", reason);
		tally->kind_count++;
	}
	if (kind->count < PACK_TALLY_NAMED)
		kind->first[kind->count] = picture;
	kind->count++;
}

uint64_t pack_tally_count(const struct pack_tally *tally, enum pack_outcome outcome)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < tally->kind_count; i++)
		count += tally->kind[i].outcome == outcome ? tally->kind[i].count : 0;
	return count;
}
