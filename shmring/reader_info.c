/* reader_info.c - what a reader can know: the fields of a batch, counters, the producer's last words, who holds what. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shmring/look.h"
#include "shmring/reader.h"

uint32_t shmring_field_count(const struct shmring_reader *reader)
{
	return reader->header.field_count;
}

const struct shmring_field *shmring_field(const struct shmring_reader *reader, uint32_t field)
{
	return field < reader->header.field_count ? &reader->header.field[field] : NULL;
}

void *shmring_lease_data(const struct shmring_reader *reader, const struct shmring_lease *lease, uint32_t field)
{
	return reader->map.slots + lease->slot * reader->header.slot_stride_bytes + reader->header.field[field].offset_bytes;
}

bool shmring_writable(const struct shmring_reader *reader)
{
	return shmring_share(reader) != SHMRING_BROADCAST;
}

const char *shmring_name(const struct shmring_reader *reader)
{
	return reader->header.name;
}

int32_t shmring_producer_pid(const struct shmring_reader *reader)
{
	return reader->header.producer_pid;
}

uint32_t shmring_slot_count(const struct shmring_reader *reader)
{
	return reader->header.slot_count;
}

uint32_t shmring_held_count(const struct shmring_reader *reader)
{
	/* relaxed: a lease that another thread gives back right now is counted or not */
	return (uint32_t)__builtin_popcountll(
		atomic_load_explicit(&((struct shmring_reader *)reader)->held_slots, memory_order_relaxed));
}

uint32_t shmring_hold(const struct shmring_reader *reader)
{
	return reader->hold;
}

uint32_t shmring_number(const struct shmring_reader *reader)
{
	return reader->number;
}

enum shmring_share shmring_share(const struct shmring_reader *reader)
{
	return (enum shmring_share)reader->header.share;
}

const void *shmring_mapping(const struct shmring_reader *reader, size_t *byte_count)
{
	*byte_count = reader->header.segment_bytes;
	return reader->map.header;
}

int shmring_catalog_fd(const struct shmring_reader *reader)
{
	return reader->catalog_fd;
}

uint32_t shmring_counter_count(const struct shmring_reader *reader)
{
	return reader->header.counter_count;
}

const char *shmring_counter_name(const struct shmring_reader *reader, uint32_t counter)
{
	return counter < reader->header.counter_count ? reader->header.counter_name[counter] : NULL;
}

uint64_t shmring_counter(const struct shmring_reader *reader, uint32_t counter)
{
	/* relaxed: counters are for people */
	return counter < reader->header.counter_count
	               ? atomic_load_explicit(&reader->map.counters->value[counter], memory_order_relaxed)
	               : 0;
}

uint32_t shmring_reader_ready_count(const struct shmring_reader *reader)
{
	return slot_count_state(reader->map.slot, reader->header.slot_count, LAYOUT_READY);
}

uint64_t shmring_own_wait_ns(const struct shmring_reader *reader)
{
	/* relaxed: a number for people */
	return atomic_load_explicit(&reader->map.bells->reader[reader->number].wait_ns, memory_order_relaxed);
}

void shmring_last_lines(const struct shmring_reader *reader, char *text, size_t text_bytes)
{
	const struct layout_log *log = reader->map.log;
	/* [LOG] acquire: the lines up to this length are in memory.  Pairs with the release store in shmring_log(). */
	uint64_t end = atomic_load_explicit(&((struct layout_log *)log)->written_bytes, memory_order_acquire);
	uint64_t room = text_bytes - 1 < LAYOUT_LOG_TEXT_BYTES ? text_bytes - 1 : LAYOUT_LOG_TEXT_BYTES;
	uint64_t begin = end > room ? end - room : 0;
	size_t length = 0;

	/* A cut first line is left out. */
	while (begin > 0 && begin < end && log->text[(begin - 1) % LAYOUT_LOG_TEXT_BYTES] != '\n')
		begin++;
	while (begin < end)
		text[length++] = log->text[begin++ % LAYOUT_LOG_TEXT_BYTES];
	text[length] = '\0';
}

enum shmring_end shmring_end_text(const struct shmring_reader *reader, char *text, size_t text_bytes)
{
	/* [END] acquire: the text is in memory.  Pairs with the release stores in shmring_finish() and audit.c. */
	uint32_t end = atomic_load_explicit(&reader->map.bells->end, memory_order_acquire);

	text[0] = '\0';
	if (end != SHMRING_RUNNING)
		snprintf(text, text_bytes, "%.*s", LAYOUT_END_TEXT_BYTES - 1, reader->map.bells->end_text);
	return (enum shmring_end)end;
}

/* Appends to text as far as it fits, and keeps it terminated. */
__attribute__((format(printf, 4, 5))) static void append(char *text, size_t text_bytes, size_t *length, const char *format, ...)
{
	va_list arguments;
	int added;

	va_start(arguments, format);
	added = vsnprintf(text + *length, text_bytes - *length, format, arguments);
	va_end(arguments);
	if (added > 0)
		*length += (size_t)added < text_bytes - *length ? (size_t)added : text_bytes - *length - 1;
}

void shmring_holders(const struct shmring_reader *reader, char *text, size_t text_bytes)
{
	enum layout_state held = shmring_share(reader) == SHMRING_BROADCAST ? LAYOUT_READY : LAYOUT_HELD;
	size_t length = 0;

	text[0] = '\0';
	for (uint32_t number = 0; number < reader->header.reader_limit; number++) {
		/* relaxed: for messages */
		int32_t pid = atomic_load_explicit(&reader->map.bells->reader[number].pid, memory_order_relaxed);
		const char *before = ": seq ";

		for (uint32_t i = 0; i < reader->header.slot_count; i++) {
			/* relaxed: a snapshot for people */
			uint64_t word = atomic_load_explicit(&reader->map.slot[i].word, memory_order_relaxed);

			if (slot_state(word) != held || (slot_mask(word) >> number & 1) == 0)
				continue;
			if (before[0] == ':')
				append(text, text_bytes, &length, "%sreader %u (process %d)", length > 0 ? "; " : "", number, pid);
			append(text, text_bytes, &length, "%s%u", before, slot_sequence(word));
			before = ", ";
		}
	}
	if (length == 0)
		append(text, text_bytes, &length, "nobody");
}

uint64_t shmring_note_of(const struct shmring_reader *reader, uint32_t index)
{
	/* relaxed: for those who ask after the producer's death */
	return index < SHMRING_MAX_NOTES ? atomic_load_explicit(&reader->map.notes->value[index], memory_order_relaxed) : 0;
}

void shmring_look_from_seat(const struct shmring_reader *reader, struct shmring_snapshot *snapshot)
{
	look(&reader->map, &reader->header, snapshot);
}

bool shmring_producer_is_alive(const struct shmring_reader *reader)
{
	return !reader_sees_producer_dead(reader);
}
