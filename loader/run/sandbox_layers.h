/* sandbox_layers.h - the two layers that sandbox.c puts together.  Both need no_new_privs; neither can be taken off again. */
#ifndef CROPRING_SANDBOX_LAYERS_H
#define CROPRING_SANDBOX_LAYERS_H

#include "loader/run/sandbox.h"

/*
 * This thread, and those that it starts from now on, may read files as `needs` says and touch no other.  The ABI that the kernel
 * has, or a negative errno and a clause in *why.
 */
int sandbox_landlock(const struct sandbox_needs *needs, uint32_t *root_count, struct err *why);

/*
 * All threads of this process: the calls of a running worker.  `landlock_abi`: 0, or which Landlock is in force.  0, or a negative
 * errno and a clause in *why.
 */
int sandbox_seccomp(bool removes_socket, int landlock_abi, struct err *why);

#endif
