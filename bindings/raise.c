/* raise.c - the ring's error codes as Python exceptions, with the sentence that belongs to each.  Under the GIL. */
#include "bindings/raise.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The worker's text may hold file names in any encoding, and may be cut in the middle of a character. */
PyObject *decode_text(const char *text)
{
	return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
}

/* Raises `type(text, errno)`, the constructor of CropringError. */
static void raise_error(PyObject *type, PyObject *text, int code)
{
	PyObject *error;

	if (!text)
		return;
	error = PyObject_CallFunction(type, "Oi", text, -code);
	Py_DECREF(text);
	if (error)
		PyErr_SetObject(type, error);
	Py_XDECREF(error);
}

void raise_attach_error(struct module_state *state, int code, const struct err *err)
{
	raise_error(code == -EPROTO ? state->layout_mismatch : state->cropring_error, decode_text(err->text), code);
}

static void raise_worker_died(struct module_state *state, const struct ring *ring)
{
	char end_text[512], last_lines[4096];
	enum shmring_end end = shmring_end_text(ring->reader, end_text, sizeof end_text);
	const char *verb = end == SHMRING_FAILED ? "failed" : end == SHMRING_STOPPED ? "stopped" : "died";
	PyObject *lines, *text, *error = NULL;

	shmring_last_lines(ring->reader, last_lines, sizeof last_lines);
	lines = decode_text(last_lines);
	text = decode_text(end_text[0] ? end_text : "it gave no reason; was it killed?");
	if (lines && text)
		error = PyObject_CallFunction(state->worker_died, "NiO",
		                              PyUnicode_FromFormat("the worker of ring '%s' (pid %d) %s: %U",
		                                                   shmring_name(ring->reader),
		                                                   (int)shmring_producer_pid(ring->reader), verb, text),
		                              EPIPE, lines);
	if (error)
		PyErr_SetObject(state->worker_died, error);
	Py_XDECREF(error);
	Py_XDECREF(text);
	Py_XDECREF(lines);
}

static void raise_slots_exhausted(struct module_state *state, const struct ring *ring)
{
	char holders[1024];

	shmring_holders(ring->reader, holders, sizeof holders);
	raise_error(
		state->slots_exhausted,
		PyUnicode_FromFormat(
			"arrays of this process hold %u of the %u slots of ring '%s', and it may hold %u while it asks for another "
			"batch (held by %s): drop them, keep copies (batch.images.copy()), or ask for more slots",
			(unsigned)shmring_held_count(ring->reader), (unsigned)shmring_slot_count(ring->reader),
			shmring_name(ring->reader), (unsigned)shmring_hold(ring->reader), holders),
		-EDEADLK);
}

void raise_ring_error(struct module_state *state, const struct ring *ring, int code)
{
	switch (code) {
	case -EPIPE:
		raise_worker_died(state, ring);
		break;
	case -EDEADLK:
		raise_slots_exhausted(state, ring);
		break;
	case -EPROTO:
		raise_error(state->ring_corrupted,
		            PyUnicode_FromFormat("ring '%s': its state in shared memory was overwritten by someone; start again",
		                                 shmring_name(ring->reader)),
		            code);
		break;
	default:
		raise_error(state->cropring_error,
		            PyUnicode_FromFormat("ring '%s': %s", shmring_name(ring->reader), strerror(-code)), code);
	}
}
