/*
 * shmring.h - one producer process hands whole batches to up to 24 reader processes through slots in shared memory.
 *
 * A slot is a table of named fields (dtype, shape), described in the segment itself, so that a reader needs no other knowledge.
 * The library knows nothing of images.  Any process may be killed at any moment: a reader's batches are offered again, a producer's
 * readers drain what is ready and then learn of its end.
 *
 * Unless a comment says otherwise: not thread-safe, pointers must not be NULL, int results are 0 or a negative errno, and the
 * library never prints.  Memory layout and slot states: layout.h.
 */
#ifndef SHMRING_H
#define SHMRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SHMRING_MAX_FIELDS = 16,
	SHMRING_MAX_DIMS = 4,
	SHMRING_MAX_COUNTERS = 64,
	SHMRING_MAX_SLOTS = 64,
	SHMRING_MIN_SLOTS = 3, /* a `for` loop holds one batch while it asks for the next; the third is being filled */
	SHMRING_MAX_READERS = 24,
	SHMRING_MAX_NOTES = 1024,
	SHMRING_NAME_BYTES = 32,
	SHMRING_MAX_REQUEST_BYTES = 16 << 20,
};

enum shmring_dtype {
	SHMRING_UINT8 = 1,
	SHMRING_INT32 = 2,
	SHMRING_INT64 = 3,
	SHMRING_FLOAT16 = 4,
	SHMRING_FLOAT32 = 5,
	SHMRING_UINT16 = 6
};

/* One array of a slot.  shape[0] is the batch size. */
struct shmring_field {
	char name[24];
	uint32_t dtype; /* enum shmring_dtype */
	uint32_t dim_count;
	uint32_t shape[SHMRING_MAX_DIMS];
	uint64_t offset_bytes, byte_count; /* within a slot; filled in by the library, offset a multiple of 256 */
};

enum shmring_segment { SHMRING_SEGMENT_AUTO, SHMRING_SEGMENT_SHM, SHMRING_SEGMENT_MEMFD }; /* in the order of --segment */

/* Who gets a batch; in the order of --share. */
enum shmring_share {
	SHMRING_SPLIT,     /* one reader, whoever asks first */
	SHMRING_LANES,     /* batch k: reader k mod reader_limit */
	SHMRING_BROADCAST, /* every reader that had joined when it was published */
};

/* Why a stream ended. */
enum shmring_end {
	SHMRING_RUNNING = 0,
	SHMRING_COMPLETE = 1, /* every batch was published */
	SHMRING_STOPPED = 2,  /* by a signal or because the readers left */
	SHMRING_FAILED = 3,
	SHMRING_CORRUPTED = 4, /* someone overwrote the slot words: nothing in the ring can be trusted */
};

/* What readers did with their time. */
struct shmring_reader_times {
	uint64_t present_ns;    /* were there, */
	uint64_t wait_ns;       /* of that, waited for a batch, */
	uint64_t start_wait_ns; /* and of that, for their first one */
};

/* ------------------------------------------------------------------ producer */

struct shmring_config {
	const char *name; /* of the ring, 1 to 31 of [A-Za-z0-9._-] */
	uint32_t slot_count;
	enum shmring_segment segment;
	enum shmring_share share;
	uint32_t
		reader_limit; /* readers at once; fewer than slots.  Broadcast: nothing is published before so many have been there at once */
	uint64_t first_batch; /* its number: 0, or where a producer that died left off.  Sequences are its low 32 bits */
	const struct shmring_field *fields; /* offset_bytes and byte_count are not looked at */
	uint32_t field_count;
	const char *const *counter_names; /* at most 31 characters each */
	uint32_t counter_count;
	int catalog_fd;      /* handed to every reader beside the segment; -1: none.  Stays the caller's. */
	bool takes_requests; /* from the process that started the producer; anyone else's, and all others, are not heard */
	const char *subject; /* what is served, for `cropring list`; cut to fit */
};

/*
 * What happened to a batch, in nanoseconds of CLOCK_MONOTONIC; 0: it did not.  For people: readers write a part of it, and may write
 * anything.
 */
struct shmring_times {
	uint32_t sequence, epoch, reader; /* reader: who acquired it */
	uint64_t claimed_ns, ready_ns;
	uint64_t acquired_ns, waited_ns; /* by a reader that had waited so long for it; in broadcast by the first one */
	uint64_t released_ns;            /* in broadcast by the last one */
};

/* A slot that is being filled. */
struct shmring_slot {
	uint32_t index, sequence;
	void *field[SHMRING_MAX_FIELDS]; /* in the order of config->fields */
	struct shmring_times before;     /* of the batch that was in it before; claimed_ns 0: none */
};

struct shmring_producer;

/* Bytes of one slot, and of the whole segment with slot_count of them.  -EINVAL, -EOVERFLOW with a sentence. */
int shmring_measure(const struct shmring_config *config, uint64_t *slot_bytes, uint64_t *segment_bytes, struct err *err);

/* Reserves and maps the segment.  -ENOSPC names need, have and the remedy; nothing is left behind on failure. */
int shmring_create(struct shmring_producer **producer, const struct shmring_config *config, struct err *err);
void shmring_destroy(struct shmring_producer *producer);

/* "shm" or "memfd". */
const char *shmring_segment_name(const struct shmring_producer *producer);

/*
 * Takes a free slot for the next batch, waiting up to timeout_ms.  -ETIMEDOUT: try again.  -EPROTO: a slot word was overwritten, and
 * the ring is poisoned: every process that looks at it learns so.  -ECANCELED: after shmring_cancel_claims().
 * Threads: one thread claims; any threads fill and commit.
 */
int shmring_claim(struct shmring_producer *producer, int timeout_ms, struct shmring_slot *slot);

/* -EPROTO, as shmring_claim(), when a slot word is not what the readers that were let in can have made of it.  Any thread. */
int shmring_audit(struct shmring_producer *producer);

/* No slot is claimed any more; a thread that waits for one is woken.  Any thread. */
void shmring_cancel_claims(struct shmring_producer *producer);

/* The slot is filled.  Batches become visible to readers in sequence order, however they are finished.  Any thread. */
void shmring_commit(struct shmring_producer *producer, const struct shmring_slot *slot, uint32_t epoch, uint32_t row_count);

/* The stream is over: readers drain what is ready, then see the end.  `text` (may be NULL) says why.  Only the first call counts. */
void shmring_finish(struct shmring_producer *producer, enum shmring_end end, const char *text);

/* Slots that are READY.  Any thread. */
uint32_t shmring_ready_count(const struct shmring_producer *producer);

/* Batches published by this producer.  Any thread. */
uint64_t shmring_published(const struct shmring_producer *producer);

/*
 * Published batches that no reader has, or, in broadcast, that a reader who is there has not given back; their sequences in
 * ascending order unless `sequences` is NULL.  Any thread.
 */
uint32_t shmring_untaken(const struct shmring_producer *producer, uint32_t sequences[SHMRING_MAX_SLOTS]);

/* Slots held by readers that are there: if one of them dies, they are offered again.  Any thread. */
uint32_t shmring_held(const struct shmring_producer *producer);

/* Adds to, or sets, a counter that readers see.  Any thread. */
void shmring_counter_add(struct shmring_producer *producer, uint32_t counter, uint64_t amount);
void shmring_counter_set(struct shmring_producer *producer, uint32_t counter, uint64_t value);
uint64_t shmring_counter_value(const struct shmring_producer *producer, uint32_t counter);

/* What is known of the batch that is, or was last, in slot `index` (below slot_count); claimed_ns 0: there never was one.  Any thread. */
struct shmring_times shmring_slot_times(const struct shmring_producer *producer, uint32_t index);

/* What all readers that ever came did with their time, summed. */
struct shmring_reader_times shmring_reader_times(const struct shmring_producer *producer);

/* Keeps a line where readers find it after the producer's death; the oldest make room.  Any thread. */
void shmring_log(struct shmring_producer *producer, const char *line);

/*
 * Notes down what a thread of the producer works on, where readers find it after the producer's death.  index < SHMRING_MAX_NOTES.
 * Any thread, also in a signal handler.
 */
void shmring_note(struct shmring_producer *producer, uint32_t index, uint64_t value);
uint64_t shmring_noted(const struct shmring_producer *producer, uint32_t index);

/* ---------------------------------------------------------------- the door: readers come and go */

enum shmring_event {
	SHMRING_NOTHING,
	SHMRING_JOINED,
	SHMRING_LEFT, /* what it still holds stays its own until it gives it back or dies */
	SHMRING_DIED, /* what it held is offered again, unless it had left before */
	SHMRING_REQUESTED,
};

/* Whom an event is about. */
struct shmring_visitor {
	uint32_t reader;      /* its number in the ring; SHMRING_MAX_READERS: it never got one */
	int32_t pid;          /* for messages only */
	uint32_t batch_count; /* DIED: batches that are offered again */
	bool had_left;        /* DIED: it had said goodbye before */
	bool is_owner;        /* the process that started the producer, over shmring_door_adopt() */
	bool is_absent;       /* stalled: a lane that nobody reads */
	void *request;        /* REQUESTED: a whole one, to be freed by whoever gets it; hostile.  NULL: memory ran out */
	size_t request_bytes;
};

/*
 * Listens in the abstract namespace under the user's id and the ring's name, and at socket_path as well unless it is NULL.
 * -EADDRINUSE: another worker listens there; -EEXIST: socket_path is a file, which is left alone.
 */
int shmring_door_open(struct shmring_producer *producer, const char *socket_path, struct err *err);

/* Lets nobody in any more and takes the socket file away.  Readers that are in stay. */
void shmring_door_shut(struct shmring_producer *producer);

/* Takes over a connected socket that was inherited from the parent: its other end is a reader to be. */
int shmring_door_adopt(struct shmring_producer *producer, int socket_fd, struct err *err);

/* Readable whenever shmring_door_step() has something to do. */
int shmring_door_fd(const struct shmring_producer *producer);

/* Handles one thing that happened; SHMRING_NOTHING when there is none.  Never blocks. */
enum shmring_event shmring_door_step(struct shmring_producer *producer, struct shmring_visitor *visitor);

/*
 * No more requests are taken in until the hold ends: they stay where they are, and shmring_request() waits when there is no more
 * room.  That their sender leaves or dies is noticed all the same; they are then forgotten.
 */
void shmring_door_hold_requests(struct shmring_producer *producer, bool hold);

/* Readers that are there. */
uint32_t shmring_reader_count(const struct shmring_producer *producer);

/*
 * Broadcast: the next reader of those that have kept a slot from being used again for limit_ms, while the producer had none; false
 * when there is none.  Start with *reader = 0; it is the number to go on with.
 */
bool shmring_stalled(const struct shmring_producer *producer, uint32_t limit_ms, uint32_t *reader, struct shmring_visitor *visitor);

/*
 * Fences a reader: kills its process by the pidfd that it gave; once that has ended, shmring_door_step() reports it and its slots
 * are free.  -EPERM for the process that started the producer, which is left alone.
 */
int shmring_expel(struct shmring_producer *producer, uint32_t reader);

/* Tells a reader to be, over an inherited socket, why there will be no ring. */
void shmring_door_refuse(int socket_fd, int code, const char *text);

/* ------------------------------------------------------------------ reader */

struct shmring_reader;

/* A borrowed batch. */
struct shmring_lease {
	uint32_t slot, sequence, epoch, row_count;
	bool redelivered; /* offered again: a reader that is gone was to read it before, and if it died, may have used it */
};

enum { SHMRING_ANY_NUMBER = -1 };

/* How to join. */
struct shmring_wish {
	uint32_t
		hold; /* batches kept while asking for another, 1 for a plain loop; 0: as many as are this reader's share of the slots */
	int32_t number; /* in the ring, which is the lane under SHMRING_LANES; SHMRING_ANY_NUMBER: the first that is free */
};

/*
 * Joins the ring `name` of this user (or the one at socket path `name` when it holds a '/').  wish NULL: {0, SHMRING_ANY_NUMBER}.
 * -ENOENT: no such ring; -EAGAIN: the process that started it has not joined yet; -EBUSY: all its places, the number, or the slots that the wish needs are taken; -EPROTO: other version.
 */
int shmring_attach(struct shmring_reader **reader, const char *name, const struct shmring_wish *wish, struct err *err);

/* Joins over a connected socket (takes it over, also on failure), waiting for the producer's answer; -EINTR on a signal. */
int shmring_attach_fd(struct shmring_reader **reader, int socket_fd, const struct shmring_wish *wish, struct err *err);

/* Leaves the ring; leases that are still out keep the mapping, which goes with the last of them.  Does nothing in a forked child. */
void shmring_detach(struct shmring_reader *reader);

/*
 * Borrow the next batch, in batch order, waiting up to timeout_ms (0 = poll, -1 = no limit).  It stays valid until
 * shmring_release(); leases may be given back in any order.  Only a redelivered batch may come later than its successors.
 * -ETIMEDOUT, -EINTR try again; -ENODATA the stream is complete; -EPIPE the producer stopped, failed or died before the end
 * (shmring_end_text() says why); -EDEADLK this reader holds more than it said it would; -EPROTO the segment was overwritten;
 * -ECHILD this process is a fork of the one that joined.
 * Threads: one thread acquires, any thread releases.
 */
int shmring_acquire(struct shmring_reader *reader, int timeout_ms, struct shmring_lease *lease);

/* Gives a batch back.  -ESTALE: it is not this reader's (any more); -ECHILD, as above: nothing is given back. */
int shmring_release(struct shmring_reader *reader, const struct shmring_lease *lease);

/*
 * Asks the producer for something, in bytes that it and the caller understand: it gets them whole, and one request after another.
 * Only the process that started the producer is heard.  Waits while the producer has requests enough.
 * -EMSGSIZE over SHMRING_MAX_REQUEST_BYTES; -EINVAL no bytes; -EPIPE the stream has ended, the producer died, or it does not hear this
 * process; -EINTR nothing was asked for, try again; -ECHILD, as above.
 * Threads: one thread requests, while others acquire and release.
 */
int shmring_request(struct shmring_reader *reader, const void *bytes, size_t byte_count);

uint32_t shmring_field_count(const struct shmring_reader *reader);
const struct shmring_field *shmring_field(const struct shmring_reader *reader, uint32_t field);
void *shmring_lease_data(const struct shmring_reader *reader, const struct shmring_lease *lease, uint32_t field);

/* Views may be written: false in broadcast, where several readers see the same slot. */
bool shmring_writable(const struct shmring_reader *reader);

const char *shmring_name(const struct shmring_reader *reader);
int32_t shmring_producer_pid(const struct shmring_reader *reader);
uint32_t shmring_slot_count(const struct shmring_reader *reader);
uint32_t shmring_held_count(const struct shmring_reader *reader);
uint32_t shmring_hold(const struct shmring_reader *reader);   /* batches that may be kept while another is asked for */
uint32_t shmring_number(const struct shmring_reader *reader); /* in the ring; the lane */
enum shmring_share shmring_share(const struct shmring_reader *reader);
const void *shmring_mapping(const struct shmring_reader *reader, size_t *byte_count);
int shmring_catalog_fd(const struct shmring_reader *reader); /* -1: none; the reader's */

uint32_t shmring_counter_count(const struct shmring_reader *reader);
const char *shmring_counter_name(const struct shmring_reader *reader, uint32_t counter);
uint64_t shmring_counter(const struct shmring_reader *reader, uint32_t counter);
uint32_t shmring_reader_ready_count(const struct shmring_reader *reader); /* batches ready to be taken */
uint64_t shmring_own_wait_ns(const struct shmring_reader *reader);        /* time that this reader waited in acquire */

/* Who holds which batches: "reader 0 (process 4711): seq 3, 4; ...", or "nobody"; always NUL-terminated. */
void shmring_holders(const struct shmring_reader *reader, char *text, size_t text_bytes);

/* What the producer noted down last with this index (shmring_note()); also after its death. */
uint64_t shmring_note_of(const struct shmring_reader *reader, uint32_t index);

/* Copies the last lines that the producer logged (torn, if it logs just then), or its end text; always NUL-terminated.  Work after its death. */
void shmring_last_lines(const struct shmring_reader *reader, char *text, size_t text_bytes);
enum shmring_end shmring_end_text(const struct shmring_reader *reader, char *text, size_t text_bytes);

/* ------------------------------------------------------------------ looking on */

/*
 * An observer sees a ring's state and counters, and is no reader: it is not counted, takes no batches and no slot, keeps nobody alive,
 * and changes nothing: its mapping is read-only, and the pixels are not even mapped.  Whether it runs, stops or dies, nobody notices.
 * This guards against mistakes: a process of the same user that means harm could join as a reader.
 */
struct shmring_observer;

enum shmring_slot_state { SHMRING_SLOT_FREE, SHMRING_SLOT_FILLING, SHMRING_SLOT_READY, SHMRING_SLOT_HELD };

/* A slot, and the batch that is or was last in it. */
struct shmring_slot_look {
	enum shmring_slot_state state;
	uint32_t sequence;
	uint32_t epoch;       /* of READY and HELD batches */
	uint32_t reader_mask; /* READY: whom it is for, 0: anyone; HELD: who has it; a bit for each number */
};

/* A place of the ring, with all who ever had its number. */
struct shmring_reader_look {
	bool is_there, waiting; /* waiting: in acquire, for a batch */
	int32_t pid;            /* 0: nobody is there, or holds anything */
	uint32_t held, ready;   /* batches that it has; that it could take now */
	uint64_t taken;
	struct shmring_reader_times times;
};

/* The states of slots and readers may be some microseconds apart from each other.  All of it is what others wrote, for people to see. */
struct shmring_snapshot {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	bool ended;       /* the stream is over; what is READY can still be taken */
	uint32_t slot_count, reader_limit;
	enum shmring_share share;
	struct shmring_slot_look slot[SHMRING_MAX_SLOTS];
	struct shmring_reader_look reader[SHMRING_MAX_READERS];
	uint64_t counter[SHMRING_MAX_COUNTERS];
};

/*
 * Looks at the ring `name` of this user, or the one at socket path `name` when it holds a '/'.
 * -ENOENT: no such ring; -ETIMEDOUT: it does not answer (stopped?); -EPROTO: other version; -EINTR: a signal came, try again.
 */
int shmring_observe(struct shmring_observer **observer, const char *name, struct err *err);
void shmring_unobserve(struct shmring_observer *observer);

/* Also after the producer's death.  -ECHILD: this process is a fork of the one that began to look. */
int shmring_look(const struct shmring_observer *observer, struct shmring_snapshot *snapshot);

/* What the producer itself can see of its ring.  Any thread. */
void shmring_look_at_own(const struct shmring_producer *producer, struct shmring_snapshot *snapshot);

/* What a reader can see of its ring, also after the producer's death. */
void shmring_look_from_seat(const struct shmring_reader *reader, struct shmring_snapshot *snapshot);
bool shmring_producer_is_alive(const struct shmring_reader *reader);

/* False once the producer's process has ended. */
bool shmring_observed_is_alive(const struct shmring_observer *observer);
const char *shmring_observed_name(const struct shmring_observer *observer);
const char *shmring_observed_subject(const struct shmring_observer *observer); /* what is served */
int32_t shmring_observed_pid(const struct shmring_observer *observer);
uint32_t shmring_observed_counter_count(const struct shmring_observer *observer);
const char *shmring_observed_counter_name(const struct shmring_observer *observer, uint32_t counter);

/* ------------------------------------------------------------------ looking around */

/* What a running ring tells about itself; slot_count 0: it did not answer within a second, and only name and pid are known. */
struct shmring_card {
	char name[SHMRING_NAME_BYTES];
	int32_t pid;
	uint32_t slot_count, ready_count, reader_count, reader_limit;
	uint64_t published, segment_bytes;
	char subject[256];
};

/* Calls `visit` for each ring of this user in this network namespace; returns how many there were, or a negative errno. */
int shmring_list(void (*visit)(const struct shmring_card *card, void *context), void *context);

#ifdef __cplusplus
}
#endif

#endif
