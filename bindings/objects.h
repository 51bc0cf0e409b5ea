/*
 * objects.h - what _ring.c (the module, Ring) and lease.c (Lease, View) share.
 *
 * A view keeps its lease, a lease keeps its ring and the mapping: the slot goes back when its last view dies, so no array can ever
 * show another batch's pixels.  In a process forked from the one that attached, these objects refuse to work and release nothing.
 */
#ifndef CROPRING_OBJECTS_H
#define CROPRING_OBJECTS_H

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "shmring/shmring.h"

struct module_state {
	PyObject *cropring_error, *worker_died, *layout_mismatch, *ring_corrupted, *slots_exhausted;
	PyTypeObject *ring_type, *lease_type, *view_type;
};

struct ring {
	PyObject_HEAD struct shmring_reader *reader;
	pid_t owner_pid;
	bool closed;    /* no more use; the reader lives on until its last lease is released */
	bool acquiring, requesting; /* a thread is inside shmring_acquire(), shmring_request(): the last one out of a closed ring detaches */
	bool detached;
};

extern PyType_Spec lease_spec, view_spec;

/* Wraps a batch that was just acquired; gives it back when memory is short. */
PyObject *lease_new(struct module_state *state, struct ring *ring, const struct shmring_lease *held);

static inline struct module_state *state_of(void *self)
{
	return PyType_GetModuleState(Py_TYPE((PyObject *)self));
}

static inline bool owned_here(const struct ring *ring)
{
	return ring->owner_pid == getpid();
}

/* -1 with RuntimeError in a forked child. */
static inline int check_owner(const struct ring *ring)
{
	if (owned_here(ring))
		return 0;
	PyErr_Format(PyExc_RuntimeError, "this ring was joined by process %ld, of which this one is a fork: attach again here",
	             (long)ring->owner_pid);
	return -1;
}

/* -1 with an exception, too, after close(). */
static inline int check_open(const struct ring *ring)
{
	if (ring->closed) {
		PyErr_SetString(PyExc_ValueError, "the ring is closed");
		return -1;
	}
	return check_owner(ring);
}

/* Objects of our heap types: each owns a reference to its type, and none can be part of a cycle. */
static inline void *new_object(PyTypeObject *type)
{
	allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);

	return allocate(type, 0);
}

static inline void free_object(void *self)
{
	PyTypeObject *type = Py_TYPE((PyObject *)self);
	freefunc free_memory = (freefunc)PyType_GetSlot(type, Py_tp_free);

	free_memory(self);
	Py_DECREF(type);
}

#endif
