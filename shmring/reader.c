/* reader.c - the reading side of the ring: batches are borrowed in order and given back in any order. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shmring/bell.h"
#include "shmring/entry.h"
#include "shmring/reader.h"
#include "shmring/requests.h"
#include "shmring/times.h"

static void drop_reference(struct shmring_reader *reader)
{
	/* [LAST] acq_rel: whoever drops the last reference sees what all others did with the mapping before it unmaps it.
	 * Pairs with itself. */
	if (atomic_fetch_sub_explicit(&reader->references, 1, memory_order_acq_rel) != 1)
		return;
	if (reader->map.header)
		munmap(reader->map.header, reader->header.segment_bytes);
	if (reader->socket_fd >= 0)
		close(reader->socket_fd);
	if (reader->pidfd >= 0)
		close(reader->pidfd);
	if (reader->catalog_fd >= 0)
		close(reader->catalog_fd);
	free(reader);
}

static int say_hello(int socket_fd, const struct shmring_wish *wish)
{
	struct wire_hello hello = {.magic = WIRE_MAGIC,
	                           .fingerprint = layout_fingerprint(),
	                           .purpose = WIRE_JOIN,
	                           .wish = wish ? *wish : (struct shmring_wish){.number = SHMRING_ANY_NUMBER}};
	int own_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int rc;

	if (own_pidfd < 0)
		return -errno;
	rc = wire_send(socket_fd, &hello, sizeof hello, &own_pidfd, 1);
	close(own_pidfd);
	return rc;
}

/* What it still holds stays its own.  A producer that is gone needs no goodbye. */
static void say_goodbye(struct shmring_reader *reader)
{
	struct wire_hello goodbye = {.magic = WIRE_MAGIC, .fingerprint = layout_fingerprint(), .purpose = WIRE_LEAVE};

	/* relaxed: a lease that another thread gives back right now is named with its sequence, which its word has no more then */
	goodbye.held_slots = atomic_load_explicit(&reader->held_slots, memory_order_relaxed);
	memcpy(goodbye.held_sequence, reader->filter.taken_sequence, sizeof goodbye.held_sequence);
	if (wire_send_piece(reader->socket_fd, &goodbye, NULL, 0) == -EAGAIN && requests_make_room(reader->socket_fd) == 0)
		(void)wire_send_piece(reader->socket_fd, &goodbye, NULL, 0);
}

/* What fails is undone by drop_reference(). */
static int map_segment(struct shmring_reader *reader, int segment_fd, struct err *err)
{
	int rc = entry_map(segment_fd, false, &reader->header, &reader->map, err);

	if (rc == 0 && !shmring_writable(reader) &&
	    mprotect(reader->map.slots, reader->header.segment_bytes - LAYOUT_SLOTS_OFFSET, PROT_READ) < 0)
		return err_fail(err, -errno, "mprotect: %s", strerror(errno));
	return rc;
}

int shmring_attach_fd(struct shmring_reader **out, int socket_fd, const struct shmring_wish *wish, struct err *err)
{
	struct shmring_reader *reader = calloc(1, sizeof *reader);
	struct wire_welcome welcome;
	int fds[WIRE_MAX_FDS] = {-1, -1, -1};
	int rc;

	if (!reader) {
		close(socket_fd);
		return err_fail(err, -ENOMEM, "out of memory");
	}
	reader->socket_fd = socket_fd;
	reader->pidfd = -1;
	reader->catalog_fd = -1;
	reader->owner_pid = getpid();
	atomic_init(&reader->references, 1);
	rc = wire_check_peer(socket_fd);
	if (rc < 0) {
		err_fail(err, rc, "the other end of the socket belongs to another user");
		goto fail;
	}
	rc = say_hello(socket_fd, wish);
	if (rc < 0 && rc != -EPIPE) { /* a worker that refused us has closed its end, but its reason can still be read */
		err_fail(err, rc, "cannot speak to the worker: %s", strerror(-rc));
		goto fail;
	}
	rc = entry_await(socket_fd, -1, &welcome, fds, err);
	if (rc < 0)
		goto leave;
	reader->number = welcome.number;
	reader->hold = welcome.hold;
	reader->pidfd = fds[WIRE_FD_PIDFD];
	reader->catalog_fd = fds[WIRE_FD_CATALOG];
	rc = map_segment(reader, fds[WIRE_FD_SEGMENT], err);
	close(fds[WIRE_FD_SEGMENT]);
	if (rc < 0)
		goto leave;
	reader->filter = (struct slot_filter){.bit = 1u << reader->number, .share = shmring_share(reader)};
	*out = reader;
	return 0;
leave:
	say_goodbye(reader); /* it may have let us in, and this process lives on: it would wait for us for ever */
fail:
	drop_reference(reader);
	return rc;
}

int shmring_attach(struct shmring_reader **out, const char *name, const struct shmring_wish *wish, struct err *err)
{
	int fd = entry_connect(name, -1, err);

	return fd < 0 ? fd : shmring_attach_fd(out, fd, wish, err);
}

void shmring_detach(struct shmring_reader *reader)
{
	if (reader_is_forked(reader))
		return;
	/* [LAST] acquire: a thread that is just giving a lease back has done so before we tell what is still held.  Pairs with the release
	 * in drop_reference(). */
	while (atomic_load_explicit(&reader->references, memory_order_acquire) != 1 + shmring_held_count(reader))
		sched_yield();
	say_goodbye(reader);
	close(reader->socket_fd);
	reader->socket_fd = -1;
	drop_reference(reader);
}

bool reader_sees_producer_dead(const struct shmring_reader *reader)
{
	struct pollfd look = {.fd = reader->pidfd, .events = POLLIN};
	int result;

	do {
		result = poll(&look, 1, 0);
	} while (result < 0 && errno == EINTR); /* a signal interrupts it even though it does not wait */
	return result != 0;                     /* readable: it ended; an error counts as dead, or we would wait for ever */
}

/* Split and lanes: the word says from now on that the batch is ours.  False when another reader was faster. */
static bool claim_word(struct shmring_reader *reader, uint32_t index, uint64_t word)
{
	if (reader->filter.share == SHMRING_BROADCAST)
		return true; /* our bit is in the word since it was published, and only we clear it */
	/* [COMMIT] acquire: the batch's bytes are read after the claim.  Pairs with the release store in publish().
	 * Release is for the word's next owner: the claim itself carries nothing else. */
	return atomic_compare_exchange_strong_explicit(&reader->map.slot[index].word, &word,
	                                               slot_word(slot_sequence(word), reader->filter.bit, LAYOUT_HELD),
	                                               memory_order_acq_rel, memory_order_relaxed);
}

/* -EAGAIN: nothing is ready now. */
static int claim_ready_slot(struct shmring_reader *reader, struct shmring_lease *lease)
{
	struct layout_slot *slot;
	uint64_t word;
	uint32_t index;

	do {
		index = slot_find_lowest(reader->map.slot, reader->header.slot_count, &reader->filter, &word);
		if (index == SLOT_NONE)
			return -EAGAIN;
	} while (!claim_word(reader, index, word));
	slot = &reader->map.slot[index];
	*lease = (struct shmring_lease){.slot = index,
	                                .sequence = slot_sequence(word),
	                                /* relaxed: the word handed it to us */
	                                .epoch = atomic_load_explicit(&slot->epoch, memory_order_relaxed),
	                                .row_count = slot->row_count,
	                                .redelivered = slot->redelivered != 0};
	return lease->row_count <= reader->header.field[0].shape[0] ? 0 : -EPROTO;
}

/* For people: who has the batch since when, and how long it had to wait for it; in broadcast, of the first one to come. */
static void note_times(struct shmring_reader *reader, struct layout_slot *slot)
{
	uint64_t now_ns = clock_now_ns();

	if (reader->filter.share != SHMRING_BROADCAST)
		times_set(&slot->acquired_ns, now_ns);
	if (reader->filter.share != SHMRING_BROADCAST || times_set_first(&slot->acquired_ns, now_ns)) {
		times_set(&slot->waited_ns, reader->waited_ns);
		/* relaxed: as all times */
		atomic_store_explicit(&slot->reader, reader->number, memory_order_relaxed);
	}
	reader->waited_ns = 0;
	reader->has_taken = true;
}

static void note_lease(struct shmring_reader *reader, const struct shmring_lease *lease)
{
	uint64_t bit = UINT64_C(1) << lease->slot;

	note_times(reader, &reader->map.slot[lease->slot]);
	slot_note_taken(&reader->filter, lease->slot, lease->sequence);
	/* relaxed: the lease is this thread's until it hands it on */
	atomic_fetch_or_explicit(&reader->held_slots, bit, memory_order_relaxed);
	atomic_fetch_or_explicit(&reader->map.bells->reader[reader->number].held_slots, bit, memory_order_relaxed);
	atomic_fetch_add_explicit(&reader->references, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&reader->map.bells->reader[reader->number].taken, 1, memory_order_relaxed);
}

/* What to say when nothing can be had now. */
static int explain_nothing(uint32_t end, bool producer_dead, bool holds_too_many)
{
	if (end == SHMRING_COMPLETE)
		return -ENODATA;
	if (end != SHMRING_RUNNING || producer_dead)
		return -EPIPE;
	return holds_too_many ? -EDEADLK : -EAGAIN;
}

static int try_acquire(struct shmring_reader *reader, bool producer_dead, struct shmring_lease *lease)
{
	/* [END] acquire, before the look at the words: whatever was published before the end is found below.
	 * Pairs with the release stores in shmring_finish() and audit.c. */
	uint32_t end = atomic_load_explicit(&reader->map.bells->end, memory_order_acquire);
	bool holds_too_many = shmring_held_count(reader) > reader->hold;
	uint64_t word;
	int rc;

	if (end == SHMRING_CORRUPTED)
		return -EPROTO;
	if (holds_too_many && (producer_dead || reader_sees_producer_dead(reader))) {
		/* No slot is filled any more, so that none must be kept free: the rest is for whoever takes it. */
		producer_dead = true;
		holds_too_many = false;
	}
	if (holds_too_many) {
		/* Nobody waits for a reader that keeps more than it said it would: with all slots kept, that would be for ever. */
		rc = slot_find_lowest(reader->map.slot, reader->header.slot_count, &reader->filter, &word) != SLOT_NONE ? -EDEADLK
		                                                                                                        : -EAGAIN;
	} else {
		rc = claim_ready_slot(reader, lease);
	}
	if (rc == 0)
		note_lease(reader, lease);
	return rc == -EAGAIN ? explain_nothing(end, producer_dead, holds_too_many) : rc;
}

/* Adds what has passed since *from_ns to what this reader waited; returns now, where the rest of its wait begins. */
static uint64_t count_wait(struct shmring_reader *reader, uint64_t from_ns)
{
	struct layout_reader *own = &reader->map.bells->reader[reader->number];
	uint64_t now_ns = clock_now_ns();

	times_add(&own->wait_ns, now_ns - from_ns);
	if (!reader->has_taken)
		times_add(&own->start_wait_ns, now_ns - from_ns);
	reader->waited_ns += now_ns - from_ns;
	return now_ns;
}

static int wait_for_batch(struct shmring_reader *reader, int timeout_ms, struct shmring_lease *lease)
{
	struct layout_reader *own = &reader->map.bells->reader[reader->number];
	uint64_t deadline_ns = bell_deadline_ns(timeout_ms), now_ns = clock_now_ns();
	bool in_time, producer_dead;
	int rc;

	/* relaxed: for those who look */
	atomic_store_explicit(&own->waiting, 1, memory_order_relaxed);
	do {
		rc = bell_wait(&own->bell, deadline_ns);
		now_ns = count_wait(reader, now_ns); /* slice by slice, so that whoever looks sees it grow */
		if (rc == -EINTR)
			break;
		in_time = now_ns < deadline_ns;
		/* First whether it lives, then what there is: it may have published just before it died. */
		producer_dead = rc == -ETIMEDOUT && reader_sees_producer_dead(reader);
		rc = try_acquire(reader, producer_dead, lease);
	} while (rc == -EAGAIN && in_time);
	atomic_store_explicit(&own->waiting, 0, memory_order_relaxed); /* relaxed: as above */
	return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

int shmring_acquire(struct shmring_reader *reader, int timeout_ms, struct shmring_lease *lease)
{
	int rc;

	if (reader_is_forked(reader))
		return -ECHILD;
	rc = try_acquire(reader, false, lease);
	return rc == -EAGAIN ? wait_for_batch(reader, timeout_ms, lease) : rc;
}

/* What the word becomes when we give the batch back, or 0 when it is not ours any more. */
static uint64_t released_word(const struct slot_filter *filter, uint32_t sequence, uint64_t word)
{
	uint32_t others = slot_mask(word) & ~filter->bit;

	if (slot_sequence(word) != sequence || (slot_mask(word) & filter->bit) == 0)
		return 0;
	if (filter->share != SHMRING_BROADCAST)
		return slot_state(word) == LAYOUT_HELD && others == 0 ? slot_word(sequence, 0, LAYOUT_FREE) : 0;
	if (slot_state(word) != LAYOUT_READY)
		return 0;
	return others == 0 ? slot_word(sequence, 0, LAYOUT_FREE) : slot_word(sequence, others, LAYOUT_READY) | SLOT_SEEN;
}

int shmring_release(struct shmring_reader *reader, const struct shmring_lease *lease)
{
	_Atomic uint64_t *slot_word_at = &reader->map.slot[lease->slot].word;
	uint64_t word, changed, bit = UINT64_C(1) << lease->slot;

	if (reader_is_forked(reader))
		return -ECHILD;
	/* relaxed: which leases are out is counted, and compared with what was promised; the word below hands the memory over */
	if (reader->filter.taken_sequence[lease->slot] != lease->sequence ||
	    (atomic_fetch_and_explicit(&reader->held_slots, ~bit, memory_order_relaxed) & bit) == 0)
		return -ESTALE;
	/* relaxed: for those who look, who compare it with the words */
	atomic_fetch_and_explicit(&reader->map.bells->reader[reader->number].held_slots, ~bit, memory_order_relaxed);
	/* relaxed: a first guess for the CAS */
	word = atomic_load_explicit(slot_word_at, memory_order_relaxed);
	/* [RELEASE] release: our last loads from the slot happen before the producer overwrites it.  A CAS, so that a stale release
	 * fails, and that other readers' bits stay.  Pairs with the acquire loads in audit_words() and [OFFER] in audience.c. */
	do {
		changed = released_word(&reader->filter, lease->sequence, word);
		if (slot_state(changed) == LAYOUT_FREE)
			times_set(&reader->map.slot[lease->slot].released_ns, clock_now_ns());
	} while (changed != 0 &&
	         !atomic_compare_exchange_weak_explicit(slot_word_at, &word, changed, memory_order_release, memory_order_relaxed));
	bell_ring(&reader->map.bells->producer_bell);
	drop_reference(reader);
	return changed != 0 ? 0 : -ESTALE;
}
