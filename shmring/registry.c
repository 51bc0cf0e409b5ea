/*
 * registry.c - who the readers are: they are let in or refused, leave, die, and are told apart from those who only look.
 *
 * Only the pidfd that a reader sent of itself tells that it has died: a bare pid can be reused, and a socket can be kept open by a
 * forked child, or closed by a reader that lives and reads on.  Called by door.c; the main thread's.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shmring/audience.h"
#include "shmring/door.h"

enum { UNHEARD_LIMIT = 4096 }; /* packets; socket buffers hold some 100 */

uint32_t shmring_reader_count(const struct shmring_producer *producer)
{
	uint32_t count = 0;

	for (int i = 0; producer->door && i < LAYOUT_MAX_READERS; i++)
		count += seat_is_present(&producer->door->reader[i]);
	return count;
}

void registry_show_card(const struct door *door, int socket_fd)
{
	const struct shmring_producer *producer = door->producer;
	struct wire_card answer = {.magic = WIRE_MAGIC};
	struct shmring_card *card = &answer.card;

	memcpy(card->name, producer->name, sizeof card->name);
	memcpy(card->subject, producer->subject, sizeof card->subject);
	card->pid = getpid();
	card->slot_count = producer->slot_count;
	card->ready_count = shmring_ready_count(producer);
	card->reader_count = shmring_reader_count(producer);
	card->reader_limit = producer->reader_limit;
	card->published = shmring_published(producer);
	card->segment_bytes = producer->segment_bytes;
	(void)wire_send(socket_fd, &answer, sizeof answer, NULL, 0); /* a looker that is gone needs no answer */
}

/* True when reader or observer and we speak of the same layout, else with what to tell it. */
static bool layouts_agree(const struct door *door, const struct wire_hello *hello, struct refusal *refusal)
{
	if (hello->fingerprint == layout_fingerprint())
		return true;
	refusal->code = -EPROTO;
	snprintf(refusal->text, sizeof refusal->text, "ring '%s' runs another version of cropring (layout %08x, the reader has %08x)",
	         door->producer->name, layout_fingerprint(), hello->fingerprint);
	return false;
}

void registry_show_ring(const struct door *door, int socket_fd, const struct wire_hello *hello)
{
	const struct shmring_producer *producer = door->producer;
	struct wire_welcome welcome = {.magic = WIRE_MAGIC};
	const int fds[] = {[WIRE_FD_SEGMENT] = producer->view_fd, [WIRE_FD_PIDFD] = producer->pidfd};
	struct refusal refusal = {0};

	if (!layouts_agree(door, hello, &refusal)) {
		shmring_door_refuse(socket_fd, refusal.code, refusal.text);
		return;
	}
	memcpy(welcome.subject, producer->subject, sizeof welcome.subject);
	(void)wire_send(socket_fd, &welcome, sizeof welcome, fds, 2); /* one that is gone needs no answer */
}

/* The number is nobody's any more. */
static uint32_t forget(struct door *door, uint32_t number)
{
	struct seat *reader = &door->reader[number];
	uint32_t offered_again = audience_forget(door->producer, number, reader->has_left);

	door_unwatch_and_close(door, &reader->socket_fd);
	door_unwatch_and_close(door, &reader->pidfd);
	return offered_again;
}

/* Those who left and have meanwhile given everything back. */
static void forget_the_departed(struct door *door)
{
	for (uint32_t i = 0; i < LAYOUT_MAX_READERS; i++) {
		if (door->reader[i].pidfd >= 0 && door->reader[i].has_left && !audience_holds(door->producer, i))
			(void)forget(door, i);
	}
}

/* Takes over both descriptors when it succeeds. */
static int welcome_reader(struct door *door, uint32_t number, const struct seat *reader)
{
	struct shmring_producer *producer = door->producer;
	struct wire_welcome welcome = {.magic = WIRE_MAGIC, .number = number, .hold = reader->hold};
	int fds[WIRE_MAX_FDS] = {[WIRE_FD_SEGMENT] = producer->segment_fd,
	                         [WIRE_FD_PIDFD] = producer->pidfd,
	                         [WIRE_FD_CATALOG] = producer->catalog_fd};
	int rc;

	rc = door_watch(door, reader->socket_fd, SOURCE_READER, number);
	if (rc == 0)
		rc = door_watch(door, reader->pidfd, SOURCE_PIDFD, number);
	if (rc < 0)
		return rc;
	/* Before it can know: from the first batch that it may expect, it is counted. */
	audience_join(producer, number, reader->pid, reader->hold);
	rc = wire_send(reader->socket_fd, &welcome, sizeof welcome, fds, producer->catalog_fd >= 0 ? 3 : 2);
	if (rc < 0) {
		(void)audience_forget(producer, number, false);
		return rc;
	}
	door->reader[number] = *reader;
	return 0;
}

static int32_t pid_of_peer(int socket_fd)
{
	struct ucred peer = {0};
	socklen_t peer_bytes = sizeof peer;

	(void)getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes); /* for messages only */
	return peer.pid;
}

/* The parent that started us went away before it was in: as good as a reader that died. */
enum shmring_event registry_miss_parent(bool is_parent, struct shmring_visitor *visitor)
{
	*visitor = (struct shmring_visitor){.reader = LAYOUT_MAX_READERS, .is_owner = is_parent};
	return is_parent ? SHMRING_DIED : SHMRING_NOTHING;
}

/* Admits a reader or refuses it with a sentence.  Takes over both descriptors. */
enum shmring_event registry_admit(struct door *door, struct seat *newcomer, const struct wire_hello *hello,
                                  struct shmring_visitor *visitor)
{
	const char *name = door->producer->name;
	struct refusal refusal = {0};
	uint32_t number = 0;

	forget_the_departed(door);
	newcomer->pid = pid_of_peer(newcomer->socket_fd);
	if (!layouts_agree(door, hello, &refusal)) {
		; /* that is reason enough */
	} else if (!wire_is_pidfd(newcomer->pidfd)) {
		refusal.code = -EPROTO;
		snprintf(refusal.text, sizeof refusal.text,
		         "the reader sent something else than a pidfd of its own: nobody would learn of its death");
	} else if (door->adopted_fd >= 0) {
		refusal.code = -EAGAIN;
		snprintf(refusal.text, sizeof refusal.text,
		         "ring '%s' belongs to the process that started it, which has not joined yet", name);
	}
	if (refusal.code == 0)
		number = seats_choose_number(door->reader, door->producer, hello->wish.number, &refusal);
	if (refusal.code == 0)
		newcomer->hold = seats_choose_hold(door->reader, door->producer, hello->wish.hold, &refusal);
	if (refusal.code == 0) {
		refusal.code = welcome_reader(door, number, newcomer);
		snprintf(refusal.text, sizeof refusal.text, "ring '%s' cannot take the reader in: %s", name,
		         strerror(-refusal.code));
	}
	if (refusal.code == 0) {
		*visitor = (struct shmring_visitor){.reader = number, .pid = newcomer->pid, .is_owner = newcomer->is_owner};
		return SHMRING_JOINED;
	}
	shmring_door_refuse(newcomer->socket_fd, refusal.code, refusal.text);
	door_unwatch_and_close(door, &newcomer->socket_fd);
	door_unwatch_and_close(door, &newcomer->pidfd);
	return registry_miss_parent(newcomer->is_owner, visitor);
}

/* A piece of a request comes behind the hello, into the inbox, if the reader may send one; *piece_bytes tells its bytes. */
static int receive(struct door *door, const struct seat *reader, struct wire_hello *hello, size_t *piece_bytes)
{
	int fds[WIRE_MAX_FDS], rc;

	*piece_bytes = door->producer->takes_requests && reader->is_owner ? sizeof door->inbox.piece : 0;
	rc = wire_receive_piece(reader->socket_fd, hello, door->inbox.piece, piece_bytes, fds);
	if (rc == 0)
		wire_close_fds(fds);
	return rc == 0 && hello->magic != WIRE_MAGIC ? -EPROTO : rc;
}

static enum shmring_event take_leave(struct door *door, uint32_t number, const struct wire_hello *goodbye,
                                     struct shmring_visitor *visitor)
{
	struct seat *reader = &door->reader[number];

	*visitor = (struct shmring_visitor){.reader = number, .pid = reader->pid, .is_owner = reader->is_owner};
	door_unwatch_and_close(door, &reader->socket_fd);
	reader->has_left = true;
	audience_leave(door->producer, number, goodbye);
	forget_the_departed(door);
	return SHMRING_LEFT;
}

enum shmring_event registry_hear_reader(struct door *door, uint32_t number, struct shmring_visitor *visitor)
{
	struct seat *reader = &door->reader[number];
	size_t piece_bytes;
	struct wire_hello hello;
	int rc = receive(door, reader, &hello, &piece_bytes);

	if (rc == -EAGAIN || rc == -EINTR)
		return SHMRING_NOTHING;
	if (rc == 0 && hello.purpose == WIRE_LEAVE)
		return take_leave(door, number, &hello, visitor);
	if (rc == 0 && hello.purpose == WIRE_REQUEST) {
		rc = requests_take(&door->inbox, &hello, piece_bytes, visitor);
		visitor->reader = number;
		visitor->pid = reader->pid;
		visitor->is_owner = true;
		if (rc >= 0)
			return rc > 0 ? SHMRING_REQUESTED : SHMRING_NOTHING;
	}
	door_unwatch_and_close(door, &reader->socket_fd); /* dead or just rude: its pidfd tells */
	return SHMRING_NOTHING;
}

/* A reader that has ended may have said goodbye, behind requests that nobody waits for any more. */
static bool find_goodbye(struct door *door, const struct seat *reader, struct wire_hello *goodbye)
{
	size_t piece_bytes;

	/* A fork of it may still have the socket, and go on and on. */
	for (int i = 0; i < UNHEARD_LIMIT && reader->socket_fd >= 0; i++) {
		if (receive(door, reader, goodbye, &piece_bytes) < 0)
			return false;
		if (goodbye->purpose != WIRE_REQUEST)
			return goodbye->purpose == WIRE_LEAVE;
	}
	return false;
}

enum shmring_event registry_bury(struct door *door, uint32_t number, struct shmring_visitor *visitor)
{
	const struct seat *reader = &door->reader[number];
	struct wire_hello goodbye;

	if (!reader->has_left && find_goodbye(door, reader, &goodbye)) {
		(void)take_leave(door, number, &goodbye, visitor);
		if (door->reader[number].pidfd >= 0)
			(void)forget(door, number);
		return SHMRING_LEFT;
	}
	*visitor = (struct shmring_visitor){
		.reader = number, .pid = reader->pid, .had_left = reader->has_left, .is_owner = reader->is_owner};
	visitor->batch_count = forget(door, number);
	return SHMRING_DIED;
}

/* ------------------------------------------------------------------ readers that hold up the others */

bool shmring_stalled(const struct shmring_producer *producer, uint32_t limit_ms, uint32_t *reader, struct shmring_visitor *visitor)
{
	uint32_t mask = audience_stalled(producer, limit_ms);

	for (; producer->door && *reader < LAYOUT_MAX_READERS; (*reader)++) {
		const struct seat *stalled = &producer->door->reader[*reader];

		if ((mask >> *reader & 1) == 0)
			continue;
		*visitor = (struct shmring_visitor){.reader = *reader,
		                                    .pid = stalled->pid,
		                                    .had_left = stalled->has_left,
		                                    .is_owner = stalled->is_owner,
		                                    .is_absent = stalled->pidfd < 0};
		(*reader)++;
		return true;
	}
	return false;
}

/* The process that started the producer may have joined a second time, by name. */
static bool is_owners(const struct door *door, int32_t pid)
{
	bool found = false;

	for (int i = 0; i < LAYOUT_MAX_READERS; i++)
		found = found || (door->reader[i].pidfd >= 0 && door->reader[i].is_owner && door->reader[i].pid == pid);
	return found;
}

int shmring_expel(struct shmring_producer *producer, uint32_t reader)
{
	const struct seat *stalled = producer->door && reader < LAYOUT_MAX_READERS ? &producer->door->reader[reader] : NULL;

	if (!stalled || stalled->pidfd < 0)
		return -ESRCH;
	if (is_owners(producer->door, stalled->pid))
		return -EPERM;
	return syscall(SYS_pidfd_send_signal, stalled->pidfd, SIGKILL, NULL, 0) == 0 ? 0 : -errno;
}
