/* reader.c - the reading side of the ring: batches are borrowed in order and given back in any order. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shmring/bell.h"
#include "shmring/layout.h"
#include "shmring/segment.h"
#include "shmring/slot.h"
#include "shmring/wire.h"

struct shmring_reader {
	struct layout_map map;
	struct layout_header header; /* private copy, checked once: sizes are never read from shared memory again */
	int socket_fd, pidfd, catalog_fd;
	uint32_t id;
	_Atomic uint32_t held_count; /* leases that are out */
	_Atomic uint32_t references; /* 1 while attached, and 1 per lease */
};

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

static int say_hello(int socket_fd)
{
	struct wire_hello hello = {.magic = WIRE_MAGIC, .fingerprint = layout_fingerprint(), .purpose = WIRE_JOIN};
	int own_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int rc;

	if (own_pidfd < 0)
		return -errno;
	rc = wire_send(socket_fd, &hello, sizeof hello, &own_pidfd, 1);
	close(own_pidfd);
	return rc;
}

/* The answer comes when the ring exists: after the scan and the reservation, so it may take a while. */
static int await_welcome(int socket_fd, struct wire_welcome *welcome, int fds[WIRE_MAX_FDS], struct err *err)
{
	struct pollfd wait = {.fd = socket_fd, .events = POLLIN};
	int rc;

	if (poll(&wait, 1, -1) < 0)
		return err_fail(err, -errno, "waiting for the worker: %s", strerror(errno));
	rc = wire_receive(socket_fd, welcome, sizeof *welcome, fds);
	if (rc == -ENOTCONN)
		return err_fail(err, -EPIPE, "the worker ended before the ring was ready");
	if (rc < 0)
		return err_fail(err, rc, "the worker's answer cannot be read: %s", strerror(-rc));
	welcome->text[sizeof welcome->text - 1] = '\0';
	if (welcome->magic != WIRE_MAGIC ||
	    (welcome->result == 0 && (fds[WIRE_FD_PIDFD] < 0 || welcome->reader_id >= LAYOUT_MAX_READERS)))
		rc = err_fail(err, -EPROTO, "the other end of the socket is no cropring worker");
	else if (welcome->result != 0)
		rc = err_fail(err, welcome->result < 0 ? welcome->result : -EPROTO, "%s", welcome->text);
	if (rc < 0)
		wire_close_fds(fds);
	return rc;
}

/* Maps the segment and takes its header apart; what fails is undone by drop_reference(). */
static int map_segment(struct shmring_reader *reader, int segment_fd, struct err *err)
{
	uint64_t byte_count;
	struct layout_header *shared;
	void *base;
	int rc;

	rc = segment_verify(segment_fd, &byte_count, err);
	if (rc < 0)
		return rc;
	rc = segment_map(segment_fd, byte_count, UINT64_MAX, &base, err);
	if (rc < 0)
		return rc;
	shared = base;
	memcpy(&reader->header, shared, sizeof reader->header);
	rc = layout_check(&reader->header, byte_count, err);
	if (rc < 0) {
		munmap(base, byte_count);
		return rc;
	}
	reader->map = layout_map(base);
	if (!shmring_writable(reader) && mprotect(reader->map.slots, byte_count - LAYOUT_SLOTS_OFFSET, PROT_READ) < 0)
		return err_fail(err, -errno, "mprotect: %s", strerror(errno));
	return 0;
}

int shmring_attach_fd(struct shmring_reader **out, int socket_fd, struct err *err)
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
	atomic_init(&reader->references, 1);
	rc = wire_check_peer(socket_fd);
	if (rc < 0) {
		err_fail(err, rc, "the other end of the socket belongs to another user");
		goto fail;
	}
	rc = say_hello(socket_fd);
	if (rc < 0 && rc != -EPIPE) { /* a worker that refused us has closed its end, but its reason can still be read */
		err_fail(err, rc, "cannot speak to the worker: %s", strerror(-rc));
		goto fail;
	}
	rc = await_welcome(socket_fd, &welcome, fds, err);
	if (rc < 0)
		goto fail;
	reader->id = welcome.reader_id;
	reader->pidfd = fds[WIRE_FD_PIDFD];
	reader->catalog_fd = fds[WIRE_FD_CATALOG];
	rc = map_segment(reader, fds[WIRE_FD_SEGMENT], err);
	close(fds[WIRE_FD_SEGMENT]);
	if (rc < 0)
		goto fail;
	*out = reader;
	return 0;
fail:
	drop_reference(reader);
	return rc;
}

int shmring_attach(struct shmring_reader **out, const char *name, struct err *err)
{
	struct sockaddr_un address;
	socklen_t address_bytes;
	int fd, rc;

	rc = wire_address(name, &address, &address_bytes);
	if (rc < 0)
		return err_fail(err, rc, "'%.40s...' is too long for a ring's name or socket path", name);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_fail(err, -errno, "socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&address, address_bytes) < 0) {
		rc = errno == ECONNREFUSED || errno == ENOENT ? -ENOENT : -errno;
		close(fd);
		if (rc == -ENOENT)
			return err_fail(err, rc,
			                "no ring named '%s' is running (`cropring list` shows those that are; "
			                "`cropring serve SOURCE --ring %s` starts one)",
			                name, name);
		return err_fail(err, rc, "cannot reach ring '%s': %s", name, strerror(-rc));
	}
	return shmring_attach_fd(out, fd, err);
}

void shmring_detach(struct shmring_reader *reader)
{
	struct wire_hello goodbye = {.magic = WIRE_MAGIC, .fingerprint = layout_fingerprint(), .purpose = WIRE_LEAVE};

	(void)wire_send(reader->socket_fd, &goodbye, sizeof goodbye, NULL, 0); /* a producer that is gone needs no goodbye */
	close(reader->socket_fd);
	reader->socket_fd = -1;
	drop_reference(reader);
}

static bool producer_is_dead(const struct shmring_reader *reader)
{
	struct pollfd look = {.fd = reader->pidfd, .events = POLLIN};

	return poll(&look, 1, 0) != 0; /* readable: it ended; an error counts as dead, or we would wait for ever */
}

/* -EAGAIN: nothing is ready now. */
static int claim_ready_slot(struct shmring_reader *reader, struct shmring_lease *lease)
{
	for (;;) {
		uint64_t word;
		uint32_t index = slot_find_lowest_ready(reader->map.slot, reader->header.slot_count, &word);
		struct layout_slot *slot;

		if (index == SLOT_NONE)
			return -EAGAIN;
		slot = &reader->map.slot[index];
		/* [COMMIT] acquire: the batch's bytes are read after the claim.  Pairs with the release store in
		 * shmring_commit().  Release is for the word's next owner: the claim itself carries nothing else. */
		if (!atomic_compare_exchange_strong_explicit(&slot->word, &word,
		                                             slot_word(slot_sequence(word), 1u << reader->id, LAYOUT_HELD),
		                                             memory_order_acq_rel, memory_order_relaxed))
			continue; /* another reader was faster: look again */
		*lease = (struct shmring_lease){
			.slot = index, .sequence = slot_sequence(word), .epoch = slot->epoch, .row_count = slot->row_count};
		if (lease->row_count > reader->header.field[0].shape[0])
			return -EPROTO;
		return 0;
	}
}

static int try_acquire(struct shmring_reader *reader, bool producer_dead, struct shmring_lease *lease)
{
	/* [END] acquire, before the look at the words: whatever was published before the end is found below.
	 * Pairs with the release store in shmring_finish(). */
	uint32_t end = atomic_load_explicit(&reader->map.bells->end, memory_order_acquire);
	int rc = claim_ready_slot(reader, lease);

	if (rc != -EAGAIN)
		return rc;
	if (end == SHMRING_COMPLETE)
		return -ENODATA;
	if (end != SHMRING_RUNNING || producer_dead)
		return -EPIPE;
	/* relaxed: a lease that another thread gives back right now makes this error a moment too early, never too late */
	if (atomic_load_explicit(&reader->held_count, memory_order_relaxed) >= reader->header.slot_count)
		return -EDEADLK;
	return -EAGAIN;
}

static int wait_for_batch(struct shmring_reader *reader, int timeout_ms, struct shmring_lease *lease)
{
	struct layout_reader *own = &reader->map.bells->reader[reader->id];
	uint64_t deadline_ns = bell_deadline_ns(timeout_ms), start_ns = clock_now_ns();
	bool in_time, producer_dead;
	int rc;

	do {
		rc = bell_wait(&own->bell, deadline_ns);
		if (rc == -EINTR)
			break;
		in_time = clock_now_ns() < deadline_ns;
		/* First whether it lives, then what there is: it may have published just before it died. */
		producer_dead = rc == -ETIMEDOUT && producer_is_dead(reader);
		rc = try_acquire(reader, producer_dead, lease);
	} while (rc == -EAGAIN && in_time);
	/* relaxed: a number for people, written by this reader alone */
	atomic_fetch_add_explicit(&own->wait_ns, clock_now_ns() - start_ns, memory_order_relaxed);
	return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

int shmring_acquire(struct shmring_reader *reader, int timeout_ms, struct shmring_lease *lease)
{
	int rc = try_acquire(reader, false, lease);

	if (rc == -EAGAIN)
		rc = wait_for_batch(reader, timeout_ms, lease);
	if (rc < 0)
		return rc;
	/* relaxed: the lease is this thread's until it hands it on */
	atomic_fetch_add_explicit(&reader->held_count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&reader->references, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&reader->map.bells->reader[reader->id].taken, 1, memory_order_relaxed);
	return 0;
}

int shmring_release(struct shmring_reader *reader, const struct shmring_lease *lease)
{
	uint64_t word = slot_word(lease->sequence, 1u << reader->id, LAYOUT_HELD);
	/* [RELEASE] release: our last loads from the slot happen before the producer overwrites it.  A CAS, so that a stale
	 * release fails.  Pairs with the acquire load in shmring_claim(). */
	bool ours = atomic_compare_exchange_strong_explicit(&reader->map.slot[lease->slot].word, &word,
	                                                    slot_word(lease->sequence, 0, LAYOUT_FREE), memory_order_release,
	                                                    memory_order_relaxed);

	bell_ring(&reader->map.bells->producer_bell);
	/* relaxed: only compared with the number of slots */
	atomic_fetch_sub_explicit(&reader->held_count, 1, memory_order_relaxed);
	drop_reference(reader);
	return ours ? 0 : -ESTALE;
}

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
	return reader->header.share != SHMRING_BROADCAST;
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
	/* relaxed: a number for people */
	return atomic_load_explicit(&((struct shmring_reader *)reader)->held_count, memory_order_relaxed);
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
	return atomic_load_explicit(&reader->map.bells->reader[reader->id].wait_ns, memory_order_relaxed);
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
	/* [END] acquire: the text is in memory.  Pairs with the release store in shmring_finish(). */
	uint32_t end = atomic_load_explicit(&reader->map.bells->end, memory_order_acquire);

	text[0] = '\0';
	if (end != SHMRING_RUNNING)
		snprintf(text, text_bytes, "%.*s", LAYOUT_END_TEXT_BYTES - 1, reader->map.bells->end_text);
	return (enum shmring_end)end;
}
