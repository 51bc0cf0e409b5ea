/* raise.h - errors of the ring on their way to Python. */
#ifndef CROPRING_RAISE_H
#define CROPRING_RAISE_H

#include "bindings/objects.h"

/* The worker's words as str; bytes that are no UTF-8 as escapes. */
PyObject *decode_text(const char *text);

/* Sets the exception for a failed shmring_attach(), */
void raise_attach_error(struct module_state *state, int code, const struct err *err);

/* or shmring_acquire() or shmring_request(). */
void raise_ring_error(struct module_state *state, const struct ring *ring, int code);

#endif
