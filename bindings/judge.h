/* judge.h - the part of the module that says who waits for whom. */
#ifndef CROPRING_BINDINGS_JUDGE_H
#define CROPRING_BINDINGS_JUDGE_H

#include <Python.h>

/* Adds the function verdict() to the module.  -1 with an exception. */
int judge_add(PyObject *module);

#endif
