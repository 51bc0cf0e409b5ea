/* list_command.c - `cropring list`: the rings that run now, as a table for people or as JSON.  One thread. */
#include "loader/shell/list_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "loader/run/printable.h"
#include "loader/run/serve.h"
#include "shmring/shmring.h"

struct cards {
	struct shmring_card *card;
	size_t count, capacity;
	bool incomplete; /* memory is short */
};

static void keep_card(const struct shmring_card *card, void *context)
{
	struct cards *cards = context;

	if (cards->count == cards->capacity) {
		size_t capacity = cards->capacity * 2 + 8;
		struct shmring_card *grown = reallocarray(cards->card, capacity, sizeof *grown);

		if (!grown) {
			cards->incomplete = true;
			return;
		}
		cards->card = grown;
		cards->capacity = capacity;
	}
	cards->card[cards->count++] = *card;
}

static int compare_names(const void *left, const void *right)
{
	const struct shmring_card *a = left, *b = right;

	return strncmp(a->name, b->name, sizeof a->name);
}

static void print_table(const struct cards *cards)
{
	int width = 4; /* of "NAME" */

	for (size_t i = 0; i < cards->count; i++) {
		int length = (int)strnlen(cards->card[i].name, sizeof cards->card[i].name);

		width = length > width ? length : width;
	}
	printf("%-*s %8s %5s %5s %8s %10s %9s  %s\n", width, "NAME", "PID", "SLOTS", "READY", "READERS", "BATCHES", "SIZE",
	       "SOURCE");
	for (size_t i = 0; i < cards->count; i++) {
		const struct shmring_card *card = &cards->card[i];
		char name[4 * sizeof card->name], subject[4 * sizeof card->subject], readers[24];

		snprintf(readers, sizeof readers, "%u of %u", card->reader_count, card->reader_limit);
		printable_escape(name, sizeof name, card->name);
		printable_escape(subject, sizeof subject, card->subject);
		printf("%-*s %8d %5u %5u %8s %10llu %6.1f MB  %s\n", width, name, card->pid, card->slot_count, card->ready_count,
		       readers, (unsigned long long)card->published, (double)card->segment_bytes / 1e6, subject);
	}
}

static void print_cards_json(const struct cards *cards)
{
	json_t *array = json_array();

	for (size_t i = 0; i < cards->count; i++) {
		const struct shmring_card *card = &cards->card[i];
		char name[4 * sizeof card->name], subject[4 * sizeof card->subject];

		printable_utf8(name, sizeof name, card->name);
		printable_utf8(subject, sizeof subject, card->subject);
		json_array_append_new(array, json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "name", name, "pid",
		                                       (json_int_t)card->pid, "slots", (json_int_t)card->slot_count, "ready",
		                                       (json_int_t)card->ready_count, "readers", (json_int_t)card->reader_count,
		                                       "reader_limit", (json_int_t)card->reader_limit, "batches",
		                                       (json_int_t)card->published, "bytes", (json_int_t)card->segment_bytes,
		                                       "source", subject));
	}
	json_dumpf(array, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(array);
}

int list_command(bool json)
{
	struct cards cards = {0};
	int count = shmring_list(keep_card, &cards);

	if (count < 0 || cards.incomplete) {
		fprintf(stderr, "cropring: the running rings cannot be listed: %s\n", strerror(cards.incomplete ? ENOMEM : -count));
		free(cards.card);
		return EXIT_FAILED;
	}
	if (cards.count)
		qsort(cards.card, cards.count, sizeof *cards.card, compare_names);
	else
		fputs("cropring: no rings\n", stderr);
	if (json)
		print_cards_json(&cards);
	else if (cards.count)
		print_table(&cards);
	free(cards.card);
	return EXIT_DONE;
}
