/* list.c - which rings run: the abstract sockets under our user id, each asked for its card. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "shmring/layout.h"
#include "shmring/wire.h"

/* A ring that ends while we ask, or does not answer within a second, has no card. */
static int ask_for_card(const char *name, struct shmring_card *card)
{
	const struct wire_hello hello = {.magic = WIRE_MAGIC, .fingerprint = layout_fingerprint(), .purpose = WIRE_LOOK};
	struct timeval patience = {.tv_sec = 1};
	struct wire_card answer;
	struct sockaddr_un address;
	socklen_t address_bytes;
	int fds[WIRE_MAX_FDS];
	int fd, rc;

	rc = wire_address(name, &address, &address_bytes);
	if (rc < 0)
		return rc;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	rc = connect(fd, (const struct sockaddr *)&address, address_bytes) == 0 ? wire_check_peer(fd) : -errno;
	if (rc == 0)
		rc = wire_send(fd, &hello, sizeof hello, NULL, 0);
	if (rc == 0)
		rc = wire_receive(fd, &answer, sizeof answer, fds);
	if (rc == 0) {
		wire_close_fds(fds);
		rc = answer.magic == WIRE_MAGIC ? 0 : -EPROTO;
	}
	close(fd);
	if (rc < 0)
		return rc;
	*card = answer.card;
	card->name[sizeof card->name - 1] = '\0';
	card->subject[sizeof card->subject - 1] = '\0';
	return 0;
}

int shmring_list(void (*visit)(const struct shmring_card *card, void *context), void *context)
{
	enum { LISTENING = 1 << 16 }; /* __SO_ACCEPTCON, as /proc/net/unix prints it */
	char prefix[40], name[160], line[512];
	unsigned flags;
	int count = 0;
	FILE *sockets = fopen("/proc/net/unix", "re");

	if (!sockets)
		return -errno;
	wire_name_prefix(prefix, sizeof prefix);
	while (fgets(line, sizeof line, sockets)) {
		struct shmring_card card;

		if (sscanf(line, "%*s %*s %*s %x %*s %*s %*s %159s", &flags, name) != 2 || (flags & LISTENING) == 0)
			continue;
		if (strncmp(name, prefix, strlen(prefix)) != 0 || ask_for_card(name + strlen(prefix), &card) < 0)
			continue;
		visit(&card, context);
		count++;
	}
	fclose(sockets);
	return count;
}
