/* uring_probe.h - does this io_uring really do what files need? */
#ifndef CROPRING_URING_PROBE_H
#define CROPRING_URING_PROBE_H

#include <liburing.h>

#include "base/err.h"

/*
 * Does everything once, on a ring with nothing in flight, because each of it is refused
 * somewhere: by old kernels, seccomp filters, sysctls.  On failure *err holds one clause.
 */
int uring_probe(struct io_uring *ring, struct err *err);

#endif
