/* uring_restrict.h - takes from a new io_uring everything that reading files does not need. */
#ifndef CROPRING_URING_RESTRICT_H
#define CROPRING_URING_RESTRICT_H

#include <stdbool.h>

#include <liburing.h>

#include "base/err.h"

/*
 * The ring was made with IORING_SETUP_R_DISABLED, and all that it registers is registered; from here on it runs.  On failure *err
 * holds one clause.  *restricted is false where the kernel would not restrict it.
 *
 * What the kernel does for a ring is no system call, so a seccomp filter sees none of it: without this, whoever takes over the
 * process could make the ring open sockets and write files.
 */
int uring_restrict_and_enable(struct io_uring *ring, bool *restricted, struct err *err);

#endif
