/*
 * listener.h - where readers knock: a listening socket in the abstract namespace, or at a path in the file system.
 *
 * The worker itself calls listen(), because SO_PEERCRED names whoever did.
 */
#ifndef SHMRING_LISTENER_H
#define SHMRING_LISTENER_H

#include <sys/types.h>
#include <sys/un.h>

#include "base/err.h"

struct listener {
	int fd;                                                  /* -1: not listening */
	char path[sizeof((struct sockaddr_un *)NULL)->sun_path]; /* "" in the abstract namespace */
	dev_t device;                                            /* of the socket file, to know it again */
	ino_t inode;
};

/*
 * Listens, without blocking, for the ring named `where`, or at that path when it holds a '/'.  A socket file that a killed worker
 * left is replaced; any other file is left alone.  -EADDRINUSE, -EEXIST, ... with a sentence.
 */
int listener_open(struct listener *listener, const char *where, struct err *err);

/* Also takes the socket file away, if it is still the one that was made. */
void listener_close(struct listener *listener);

#endif
