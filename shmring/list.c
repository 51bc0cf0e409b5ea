/*
 * list.c - which rings run: the abstract sockets under our user id, each asked for its card.
 *
 * All are asked before the first answer is awaited, so that any number of stopped workers costs one second in all.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "shmring/layout.h"
#include "shmring/wire.h"

enum { PATIENCE_MS = 1000 };

struct question {
	char name[SHMRING_NAME_BYTES];
	int fd; /* negative: could not be asked */
};

struct questions {
	struct question *question;
	size_t count, capacity;
};

/* A socket with the question on its way.  -ECONNREFUSED: the ring is gone; -EAGAIN: its queue is full of questions. */
static int ask(const char *name)
{
	const struct wire_hello hello = {.magic = WIRE_MAGIC, .fingerprint = layout_fingerprint(), .purpose = WIRE_LOOK};
	struct sockaddr_un address;
	socklen_t address_bytes;
	int fd, rc;

	rc = wire_address(name, &address, &address_bytes);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)&address, address_bytes) == 0 ? wire_check_peer(fd) : -errno;
	if (rc == 0)
		rc = wire_send(fd, &hello, sizeof hello, NULL, 0);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

static int add_question(struct questions *questions, const char *name)
{
	struct question *question;

	if (questions->count == questions->capacity) {
		size_t capacity = questions->capacity * 2 + 16;
		struct question *larger = reallocarray(questions->question, capacity, sizeof *larger);

		if (!larger)
			return -ENOMEM;
		questions->question = larger;
		questions->capacity = capacity;
	}
	question = &questions->question[questions->count];
	snprintf(question->name, sizeof question->name, "%s", name);
	question->fd = ask(name);
	if (question->fd != -ECONNREFUSED)
		questions->count++;
	return 0;
}

static int ask_all(struct questions *questions)
{
	enum { LISTENING = 1 << 16 }; /* __SO_ACCEPTCON, as /proc/net/unix prints it */
	char prefix[40], name[160], line[512];
	unsigned flags;
	int rc = 0;
	FILE *sockets = fopen("/proc/net/unix", "re");

	if (!sockets)
		return -errno;
	wire_name_prefix(prefix, sizeof prefix);
	while (rc == 0 && fgets(line, sizeof line, sockets)) {
		if (sscanf(line, "%*s %*s %*s %x %*s %*s %*s %159s", &flags, name) == 2 && (flags & LISTENING) != 0 &&
		    strncmp(name, prefix, strlen(prefix)) == 0)
			rc = add_question(questions, name + strlen(prefix));
	}
	fclose(sockets);
	return rc;
}

/* The ring's answer, or what is known without it.  False for a ring that ended meanwhile. */
static bool hear_answer(const struct question *question, uint64_t deadline_ns, struct shmring_card *card)
{
	struct pollfd wait = {.fd = question->fd, .events = POLLIN};
	uint64_t now_ns = clock_now_ns();
	struct ucred peer = {0};
	socklen_t peer_bytes = sizeof peer;
	struct wire_card answer;
	int fds[WIRE_MAX_FDS];

	if (question->fd >= 0 && poll(&wait, 1, now_ns < deadline_ns ? (int)((deadline_ns - now_ns) / 1000000) : 0) > 0) {
		if (wire_receive(question->fd, &answer, sizeof answer, fds) < 0)
			return false;
		wire_close_fds(fds);
		if (answer.magic != WIRE_MAGIC)
			return false;
		*card = answer.card;
		card->name[sizeof card->name - 1] = '\0';
		card->subject[sizeof card->subject - 1] = '\0';
		return true;
	}
	*card = (struct shmring_card){.subject = "(does not answer: stopped?)"};
	memcpy(card->name, question->name, sizeof card->name);
	if (question->fd >= 0 && getsockopt(question->fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) == 0)
		card->pid = peer.pid;
	return true;
}

int shmring_list(void (*visit)(const struct shmring_card *card, void *context), void *context)
{
	struct questions questions = {0};
	int rc = ask_all(&questions), count = 0;
	uint64_t deadline_ns = clock_now_ns() + PATIENCE_MS * UINT64_C(1000000);

	for (size_t i = 0; i < questions.count; i++) {
		struct shmring_card card;

		if (rc == 0 && hear_answer(&questions.question[i], deadline_ns, &card)) {
			visit(&card, context);
			count++;
		}
		if (questions.question[i].fd >= 0)
			close(questions.question[i].fd);
	}
	free(questions.question);
	return rc < 0 ? rc : count;
}
