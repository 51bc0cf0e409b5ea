/* observer.h - the part of the module that looks on. */
#ifndef CROPRING_BINDINGS_OBSERVER_H
#define CROPRING_BINDINGS_OBSERVER_H

#include "bindings/objects.h"

/* Adds the type Observer to the module.  -1 with an exception. */
int observer_add(PyObject *module);

/* What a reader sees of its ring: a method of Ring. */
PyObject *ring_snapshot(struct ring *ring, PyObject *none);

#endif
