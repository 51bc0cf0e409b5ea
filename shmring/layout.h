/*
 * layout.h - the whole contract of the shared segment: who finds what where, and who may write it.
 *
 *   page   offset   bytes   what                                    written by
 *   0      0        4096    struct layout_header                    producer, before anyone attaches
 *   1      4096     4096    struct layout_slot[64]                  words: producer and readers, by CAS; the rest: see the fields
 *   2      8192     4096    struct layout_bells                     bells and end: see the fields
 *   3      12288    4096    struct layout_counters                  producer
 *   4, 5   16384    8192    struct layout_log                       producer
 *   6, 7   24576    8192    struct layout_notes                     producer
 *   8 ...  32768    32768   nothing: readers cannot write to slots, which begin where a page does that has 64 KiB, as on some arm64
 *   16 ... 65536    slot_stride_bytes each, slot_count of them      producer while FILLING, the holder while HELD
 *
 * Changing a byte means a new LAYOUT_VERSION, this table, the asserts and tests/data/layout.golden in one commit.
 * Native byte order; sem_t is the C library's, so both sides must use one of the same size (checked by layout_fingerprint()).
 */
#ifndef SHMRING_LAYOUT_H
#define SHMRING_LAYOUT_H

#include <assert.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "shmring/shmring.h"

#define LAYOUT_MAGIC "cropring"

enum {
	LAYOUT_VERSION = 4,
	LAYOUT_PAGE_BYTES = 4096,
	LAYOUT_FIELD_ALIGN_BYTES = 256,
	LAYOUT_SLOTS_OFFSET = 16 * LAYOUT_PAGE_BYTES,
	LAYOUT_MAX_READERS = SHMRING_MAX_READERS, /* one bit each in a slot's word */
	LAYOUT_LOG_TEXT_BYTES = 8192 - 8,
	LAYOUT_END_TEXT_BYTES = 256,
};

struct layout_header {
	char magic[8];
	uint32_t fingerprint; /* layout_fingerprint() */
	uint32_t slot_count, field_count, counter_count;
	uint32_t share;       /* enum shmring_share */
	int32_t producer_pid; /* for messages only: liveness is a pidfd's business */
	uint64_t segment_bytes, slot_stride_bytes;
	char name[SHMRING_NAME_BYTES];
	uint32_t reader_limit;
	uint8_t reserved[172];
	struct shmring_field field[SHMRING_MAX_FIELDS];
	char counter_name[SHMRING_MAX_COUNTERS][32];
};

/*
 * The one truth about a slot: sequence:32 | reader mask:24 | seen:1 | state:7, from the high bits down.  Every change of owner is
 * one compare-and-swap or store of this word.
 *
 *   state     mask in split    mask in lanes    mask in broadcast, and seen
 *   FREE      0                0                0
 *   FILLING   0                0                0
 *   READY     0                the lane's bit   who has still to read it and give it back; 0: nobody was there, for the next
 *                                               reader that joins.  seen: at least one has given it back
 *   HELD      the holder's     the lane's bit   (not used)
 */
enum layout_state {
	LAYOUT_FREE = 1,    /* nobody's; the producer may take it */
	LAYOUT_FILLING = 2, /* the producer's */
	LAYOUT_READY = 3,   /* published */
	LAYOUT_HELD = 4,    /* the reader's whose bit is set in the mask */
	LAYOUT_POISON = 5,  /* the producer found an impossible word somewhere: all are this now */
};

/*
 * Times are CLOCK_MONOTONIC's, of the batch that is or was last in the slot; 0: that has not happened to it.  They are for people:
 * each is written before the change of the word that hands the slot on, and nothing is decided by them.
 */
struct layout_slot {
	_Atomic uint64_t word;
	_Atomic uint32_t epoch;                /* producer, before READY */
	uint32_t row_count;                    /* producer, before READY */
	uint32_t redelivered;                  /* producer, before READY: 1 when a reader that died had it */
	_Atomic uint32_t reader;               /* reader, with acquired_ns: its number */
	_Atomic uint64_t claimed_ns, ready_ns; /* producer */
	_Atomic uint64_t acquired_ns;          /* reader, when it takes the batch; in broadcast the first one that does */
	_Atomic uint64_t waited_ns;            /* reader, with acquired_ns: how long it had waited for the batch */
	_Atomic uint64_t
		released_ns; /* whoever makes the word FREE: the reader, in broadcast the last one, or the producer for a dead one */
};

/* The reader's fields go on where its predecessor with the same number left them; the producer's start anew. */
struct layout_reader {
	sem_t bell;                     /* rung by the producer after a commit or the end; waited on by the reader */
	_Atomic uint64_t wait_ns;       /* reader: waited in acquire */
	_Atomic uint64_t taken;         /* reader: batches acquired */
	_Atomic uint64_t start_wait_ns; /* reader: that part of wait_ns which passed before its first batch */
	_Atomic uint64_t held_slots;    /* reader: a bit for each slot that it has; producer: 0 when a reader comes */
	_Atomic uint64_t joined_ns;     /* producer: when the reader came; 0: nobody is there */
	_Atomic uint64_t present_ns;    /* producer: how long those before were there, all together */
	_Atomic int32_t pid;            /* producer, when it lets the reader in: for messages only */
	_Atomic uint32_t waiting;       /* reader: 1 while it waits in acquire; producer: 0 when a reader comes or goes */
	uint8_t reserved[40];
};

struct layout_bells {
	sem_t producer_bell;  /* rung by readers after a release; waited on by the producer */
	_Atomic uint32_t end; /* enum shmring_end; producer */
	uint8_t reserved[92];
	struct layout_reader reader[LAYOUT_MAX_READERS];
	char end_text[LAYOUT_END_TEXT_BYTES]; /* producer, before `end` */
};

struct layout_counters {
	_Atomic uint64_t value[SHMRING_MAX_COUNTERS];
};

/* Lines, each ended by '\n', in a circle: byte k of the stream lies at text[k % LAYOUT_LOG_TEXT_BYTES]. */
struct layout_log {
	_Atomic uint64_t written_bytes;
	char text[LAYOUT_LOG_TEXT_BYTES];
};

/* What each thread of the producer works on, for those who ask after its death. */
struct layout_notes {
	_Atomic uint64_t value[SHMRING_MAX_NOTES];
};

static_assert(sizeof(struct shmring_field) == 64, "field table");
static_assert(sizeof(struct layout_header) == 256 + 16 * 64 + 64 * 32, "header");
static_assert(offsetof(struct layout_header, field) == 256, "header");
static_assert(sizeof(struct layout_header) <= LAYOUT_PAGE_BYTES, "header fits its page");
static_assert(sizeof(struct layout_slot) == 64, "one slot word per cache line");
static_assert(sizeof(struct layout_slot) * SHMRING_MAX_SLOTS <= LAYOUT_PAGE_BYTES, "slot words fit their page");
static_assert(sizeof(struct layout_reader) == 128, "no two readers share a cache line");
static_assert(sizeof(struct layout_bells) <= LAYOUT_PAGE_BYTES, "bells fit their page");
static_assert(sizeof(struct layout_counters) <= LAYOUT_PAGE_BYTES, "counters fit their page");
static_assert(sizeof(struct layout_log) == 2 * LAYOUT_PAGE_BYTES, "log");
static_assert(sizeof(struct layout_notes) == 2 * LAYOUT_PAGE_BYTES, "notes");
static_assert(LAYOUT_SLOTS_OFFSET % 65536 == 0, "slots begin on a page of any kernel");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "a lock in shared memory would survive its owner");

/* Where the parts lie once a segment is mapped. */
struct layout_map {
	struct layout_header *header;
	struct layout_slot *slot;
	struct layout_bells *bells;
	struct layout_counters *counters;
	struct layout_log *log;
	struct layout_notes *notes;
	uint8_t *slots; /* the first slot's bytes */
};

static inline struct layout_map layout_map(void *segment)
{
	uint8_t *base = segment;

	return (struct layout_map){
		.header = (struct layout_header *)base,
		.slot = (struct layout_slot *)(base + LAYOUT_PAGE_BYTES),
		.bells = (struct layout_bells *)(base + 2 * LAYOUT_PAGE_BYTES),
		.counters = (struct layout_counters *)(base + 3 * LAYOUT_PAGE_BYTES),
		.log = (struct layout_log *)(base + 4 * LAYOUT_PAGE_BYTES),
		.notes = (struct layout_notes *)(base + 6 * LAYOUT_PAGE_BYTES),
		.slots = base + LAYOUT_SLOTS_OFFSET,
	};
}

/* One number for everything that both sides must have compiled alike: FNV-1a over the version, sizes, offsets and byte order. */
uint32_t layout_fingerprint(void);

/*
 * Places the fields in a slot and adds up the sizes; fills offset_bytes and byte_count of each field.  The one place where sizes
 * are computed, for the producer and for the reader's check.  -EINVAL or -EOVERFLOW with a sentence.
 */
int layout_measure(struct shmring_field *fields, uint32_t field_count, uint32_t slot_count, uint64_t *slot_stride_bytes,
                   uint64_t *segment_bytes, struct err *err);

/*
 * Checks a header that another process wrote, against the size that its segment really has.  `header` is the caller's private
 * copy, never shared memory.  -EPROTO with a sentence.
 */
int layout_check(const struct layout_header *header, uint64_t actual_bytes, struct err *err);

#endif
