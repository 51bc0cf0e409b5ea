/*
 * _ring.c - the reader's side of the ring for Python: the type Ring, and the module cropring._ring.
 *
 * Threads: everything runs under the GIL except the calls that wait.  The flags `acquiring` and `requesting` keep to shmring's rule of
 * one thread each per reader.  A free-threaded interpreter switches its GIL on for this module.
 */
#include "bindings/judge.h"
#include "bindings/objects.h"
#include "bindings/observer.h"
#include "bindings/raise.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* How long a wait may go without a look at Python's pending signals. */
enum { SLICE_MS = 100 };

/* ------------------------------------------------------------------ Ring */

static void detach(struct ring *ring)
{
	if (!ring->detached && owned_here(ring)) {
		ring->detached = true;
		shmring_detach(ring->reader);
	}
}

static void detach_if_closed(struct ring *ring)
{
	if (ring->closed && !ring->acquiring && !ring->requesting)
		detach(ring);
}

static void ring_dealloc(struct ring *ring)
{
	if (ring->reader)
		detach(ring);
	free_object(ring);
}

/* Until deadline_ns, at most a slice; a batch that is there already is taken without letting go of the GIL. */
static int acquire_slice(struct ring *ring, uint64_t deadline_ns, struct shmring_lease *held)
{
	uint64_t now_ns, left_ms;
	int slice_ms = SLICE_MS, code = shmring_acquire(ring->reader, 0, held);

	if (code != -ETIMEDOUT && code != -EINTR)
		return code;
	now_ns = clock_now_ns();
	if (now_ns >= deadline_ns)
		return -ETIMEDOUT;
	left_ms = (deadline_ns - now_ns + 999999) / 1000000;
	if (left_ms < SLICE_MS)
		slice_ms = (int)left_ms;
	Py_BEGIN_ALLOW_THREADS
	code = shmring_acquire(ring->reader, slice_ms, held);
	Py_END_ALLOW_THREADS
	return code;
}

static int acquire_until(struct ring *ring, uint64_t deadline_ns, struct shmring_lease *held)
{
	for (;;) {
		int code = acquire_slice(ring, deadline_ns, held);

		if (code != -ETIMEDOUT && code != -EINTR)
			return code;
		if (PyErr_CheckSignals() < 0)
			return -ECANCELED;
		if (ring->closed) {
			PyErr_SetString(PyExc_ValueError, "the ring was closed by another thread");
			return -ECANCELED;
		}
		if (clock_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
	}
}

static PyObject *ring_acquire(struct ring *ring, PyObject *arguments)
{
	struct module_state *state = state_of(ring);
	struct shmring_lease held;
	PyObject *lease = NULL;
	int timeout_ms = -1, code;

	if (!PyArg_ParseTuple(arguments, "|i:acquire", &timeout_ms) || check_open(ring) < 0)
		return NULL;
	if (ring->acquiring) {
		PyErr_SetString(PyExc_RuntimeError, "another thread waits for a batch of this ring: one thread at a time");
		return NULL;
	}
	ring->acquiring = true;
	code = acquire_until(ring, timeout_ms < 0 ? UINT64_MAX : clock_now_ns() + (uint64_t)timeout_ms * 1000000, &held);
	ring->acquiring = false;
	if (code == 0)
		lease = lease_new(state, ring, &held);
	else if (code == -ETIMEDOUT)
		PyErr_Format(PyExc_TimeoutError, "ring '%s': no batch within %d ms", shmring_name(ring->reader), timeout_ms);
	else if (code == -ENODATA)
		lease = Py_NewRef(Py_None);
	else if (code != -ECANCELED)
		raise_ring_error(state, ring, code);
	detach_if_closed(ring);
	return lease;
}

/* Sends all of it, unless a signal's handler raises first. */
static int send_request(struct ring *ring, const Py_buffer *request)
{
	int code;

	do {
		Py_BEGIN_ALLOW_THREADS
		code = shmring_request(ring->reader, request->buf, (size_t)request->len);
		Py_END_ALLOW_THREADS
	} while (code == -EINTR && PyErr_CheckSignals() == 0);
	return code;
}

static PyObject *ring_request(struct ring *ring, PyObject *argument)
{
	Py_buffer request;
	int code;

	if (check_open(ring) < 0 || PyObject_GetBuffer(argument, &request, PyBUF_SIMPLE) < 0)
		return NULL;
	if (ring->requesting) {
		PyErr_SetString(PyExc_RuntimeError, "another thread sends a request to this ring: one thread at a time");
		PyBuffer_Release(&request);
		return NULL;
	}
	ring->requesting = true;
	code = send_request(ring, &request);
	ring->requesting = false;
	PyBuffer_Release(&request);
	if (code < 0 && !PyErr_Occurred())
		raise_ring_error(state_of(ring), ring, code);
	detach_if_closed(ring);
	if (PyErr_Occurred())
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *ring_close(struct ring *ring, PyObject *Py_UNUSED(none))
{
	if (!owned_here(ring))
		Py_RETURN_NONE;
	ring->closed = true;
	detach_if_closed(ring);
	Py_RETURN_NONE;
}

static PyObject *ring_counters(struct ring *ring, PyObject *Py_UNUSED(none))
{
	PyObject *counters;

	if (check_open(ring) < 0)
		return NULL;
	counters = PyDict_New();
	for (uint32_t i = 0; counters && i < shmring_counter_count(ring->reader); i++) {
		PyObject *value = PyLong_FromUnsignedLongLong(shmring_counter(ring->reader, i));

		if (!value || PyDict_SetItemString(counters, shmring_counter_name(ring->reader, i), value) < 0)
			Py_CLEAR(counters);
		Py_XDECREF(value);
	}
	return counters;
}

static PyObject *ring_notes(struct ring *ring, PyObject *argument)
{
	long count = PyLong_AsLong(argument);
	PyObject *notes;

	if ((count == -1 && PyErr_Occurred()) || check_open(ring) < 0)
		return NULL;
	if (count < 0 || count > SHMRING_MAX_NOTES) {
		PyErr_Format(PyExc_ValueError, "%ld notes: a ring has %d", count, SHMRING_MAX_NOTES);
		return NULL;
	}
	notes = PyList_New(count);
	for (long i = 0; notes && i < count; i++) {
		PyObject *note = PyLong_FromUnsignedLongLong(shmring_note_of(ring->reader, (uint32_t)i));

		if (!note || PyList_SetItem(notes, i, note) < 0)
			Py_CLEAR(notes);
	}
	return notes;
}

static PyObject *ring_last_lines(struct ring *ring, PyObject *Py_UNUSED(none))
{
	char text[8192];

	if (check_open(ring) < 0)
		return NULL;
	shmring_last_lines(ring->reader, text, sizeof text);
	return decode_text(text);
}

static PyObject *ring_name(struct ring *ring, void *Py_UNUSED(closure))
{
	return check_open(ring) < 0 ? NULL : decode_text(shmring_name(ring->reader));
}

static PyObject *ring_producer_pid(struct ring *ring, void *Py_UNUSED(closure))
{
	return check_open(ring) < 0 ? NULL : PyLong_FromLong(shmring_producer_pid(ring->reader));
}

static PyObject *ring_slot_count(struct ring *ring, void *Py_UNUSED(closure))
{
	return check_open(ring) < 0 ? NULL : PyLong_FromUnsignedLong(shmring_slot_count(ring->reader));
}

static PyObject *ring_number(struct ring *ring, void *Py_UNUSED(closure))
{
	return check_open(ring) < 0 ? NULL : PyLong_FromUnsignedLong(shmring_number(ring->reader));
}

static PyObject *ring_hold(struct ring *ring, void *Py_UNUSED(closure))
{
	return check_open(ring) < 0 ? NULL : PyLong_FromUnsignedLong(shmring_hold(ring->reader));
}

static PyObject *ring_share(struct ring *ring, void *Py_UNUSED(closure))
{
	static const char *const names[] = {"split", "lanes", "broadcast"};

	return check_open(ring) < 0 ? NULL : PyUnicode_FromString(names[shmring_share(ring->reader)]);
}

static PyObject *ring_held_count(struct ring *ring, void *Py_UNUSED(closure))
{
	return check_open(ring) < 0 ? NULL : PyLong_FromUnsignedLong(shmring_held_count(ring->reader));
}

static PyObject *ring_ready_count(struct ring *ring, void *Py_UNUSED(closure))
{
	return check_open(ring) < 0 ? NULL : PyLong_FromUnsignedLong(shmring_reader_ready_count(ring->reader));
}

static PyObject *ring_wait_ns(struct ring *ring, void *Py_UNUSED(closure))
{
	return check_open(ring) < 0 ? NULL : PyLong_FromUnsignedLongLong(shmring_own_wait_ns(ring->reader));
}

static PyObject *ring_catalog_fd(struct ring *ring, void *Py_UNUSED(closure))
{
	return check_open(ring) < 0 ? NULL : PyLong_FromLong(shmring_catalog_fd(ring->reader));
}

static PyObject *ring_mapping(struct ring *ring, void *Py_UNUSED(closure))
{
	const void *address;
	size_t byte_count;

	if (check_open(ring) < 0)
		return NULL;
	address = shmring_mapping(ring->reader, &byte_count);
	return Py_BuildValue("NK", PyLong_FromVoidPtr((void *)address), (unsigned long long)byte_count);
}

static PyObject *ring_field_names(struct ring *ring, void *Py_UNUSED(closure))
{
	PyObject *names;
	uint32_t count;

	if (check_open(ring) < 0)
		return NULL;
	count = shmring_field_count(ring->reader);
	names = PyTuple_New((Py_ssize_t)count);
	for (uint32_t i = 0; names && i < count; i++) {
		PyObject *name = decode_text(shmring_field(ring->reader, i)->name);

		if (!name || PyTuple_SetItem(names, (Py_ssize_t)i, name) < 0)
			Py_CLEAR(names);
	}
	return names;
}

static PyObject *ring_ended(struct ring *ring, void *Py_UNUSED(closure))
{
	char text[1];

	if (check_open(ring) < 0)
		return NULL;
	return PyBool_FromLong(shmring_end_text(ring->reader, text, sizeof text) != SHMRING_RUNNING);
}

static PyObject *ring_closed(struct ring *ring, void *Py_UNUSED(closure))
{
	return PyBool_FromLong(ring->closed);
}

static PyObject *wrap_reader(PyTypeObject *type, struct shmring_reader *reader)
{
	struct ring *ring = new_object(type);

	if (!ring) {
		shmring_detach(reader);
		return NULL;
	}
	ring->reader = reader;
	ring->owner_pid = getpid();
	return (PyObject *)ring;
}

static PyObject *ring_attach(PyTypeObject *type, PyObject *arguments)
{
	struct shmring_wish wish = {.number = SHMRING_ANY_NUMBER};
	struct shmring_reader *reader = NULL;
	struct err err = {""};
	PyObject *path;
	const char *text;
	int code;

	if (!PyArg_ParseTuple(arguments, "O&|Ii:attach", PyUnicode_FSConverter, &path, &wish.hold, &wish.number))
		return NULL;
	text = PyBytes_AsString(path);
	do {
		Py_BEGIN_ALLOW_THREADS
		code = shmring_attach(&reader, text, &wish, &err);
		Py_END_ALLOW_THREADS
	} while (code == -EINTR && PyErr_CheckSignals() == 0);
	Py_DECREF(path);
	if (code == 0)
		return wrap_reader(type, reader);
	if (!PyErr_Occurred())
		raise_attach_error(PyType_GetModuleState(type), code, &err);
	return NULL;
}

/* Not tried again after a signal: the socket is gone then.  worker.py calls this from a thread that gets no signals. */
static PyObject *ring_attach_fd(PyTypeObject *type, PyObject *argument)
{
	struct shmring_reader *reader = NULL;
	struct err err = {""};
	long socket_fd = PyLong_AsLong(argument);
	int code;

	if (socket_fd == -1 && PyErr_Occurred())
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	code = shmring_attach_fd(&reader, (int)socket_fd, NULL, &err);
	Py_END_ALLOW_THREADS
	if (code == 0)
		return wrap_reader(type, reader);
	if (PyErr_CheckSignals() == 0)
		raise_attach_error(PyType_GetModuleState(type), code, &err);
	return NULL;
}

static PyMethodDef ring_methods[] = {
	{"attach", (PyCFunction)ring_attach, METH_VARARGS | METH_CLASS,
         "attach($type, name, hold=0, number=-1, /)\n--\n\nJoins the ring of that name of this user, or the one at a socket path "
         "that "
         "holds a '/'.  hold 0: a fair share of the slots; number -1: the first that is free."},
	{"attach_fd", (PyCFunction)ring_attach_fd, METH_O | METH_CLASS,
         "attach_fd($type, socket_fd, /)\n--\n\nJoins over a connected socket, which it takes over also when it fails."},
	{"acquire", (PyCFunction)ring_acquire, METH_VARARGS,
         "acquire($self, timeout_ms=-1, /)\n--\n\nThe next batch as a Lease, None when the stream is complete.  -1 waits without "
         "limit."},
	{"request", (PyCFunction)ring_request, METH_O,
         "request($self, request, /)\n--\n\nAsks the worker that this process started for a batch, in the bytes of "
         "loader/plan/request.h."},
	{"close", (PyCFunction)ring_close, METH_NOARGS,
         "close($self, /)\n--\n\nLeaves the ring.  Arrays that are alive stay valid; the memory goes with the last of them."},
	{"counters", (PyCFunction)ring_counters, METH_NOARGS, "counters($self, /)\n--\n\nThe worker's counters by name."},
	{"snapshot", (PyCFunction)ring_snapshot, METH_NOARGS,
         "snapshot($self, /)\n--\n\nWhat an Observer would see, without the subject; also after the worker's death."},
	{"last_lines", (PyCFunction)ring_last_lines, METH_NOARGS, "last_lines($self, /)\n--\n\nWhat the worker logged last."},
	{"notes", (PyCFunction)ring_notes, METH_O,
         "notes($self, count, /)\n--\n\nThe first notes of the worker's threads, also after its death (loader/run/crash.h)."},
	{NULL, NULL, 0, NULL},
};

static PyGetSetDef ring_attributes[] = {
	{"name", (getter)ring_name, NULL, "The ring's name.", NULL},
	{"producer_pid", (getter)ring_producer_pid, NULL, "The worker's process id.", NULL},
	{"slot_count", (getter)ring_slot_count, NULL, "Slots in the ring.", NULL},
	{"number", (getter)ring_number, NULL, "This reader's number in the ring; its lane.", NULL},
	{"hold", (getter)ring_hold, NULL, "Batches that this reader may hold while it asks for another.", NULL},
	{"share", (getter)ring_share, NULL, "\"split\", \"lanes\" or \"broadcast\".", NULL},
	{"held_count", (getter)ring_held_count, NULL, "Slots that this reader holds.", NULL},
	{"ready_count", (getter)ring_ready_count, NULL, "Batches ready to be taken.", NULL},
	{"wait_ns", (getter)ring_wait_ns, NULL, "Nanoseconds that this reader waited in acquire().", NULL},
	{"catalog_fd", (getter)ring_catalog_fd, NULL, "Descriptor of the list of samples, the ring's own; -1: none.", NULL},
	{"mapping", (getter)ring_mapping, NULL, "Address and length in bytes of the shared memory in this process.", NULL},
	{"field_names", (getter)ring_field_names, NULL, "Names of the arrays in a batch.", NULL},
	{"ended", (getter)ring_ended, NULL, "True when the worker said that its stream is over.", NULL},
	{"closed", (getter)ring_closed, NULL, "True after close().", NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot ring_slots[] = {
	{Py_tp_doc, "A reader of a ring of batches."},
	{Py_tp_dealloc, ring_dealloc},
	{Py_tp_methods, ring_methods},
	{Py_tp_getset, ring_attributes},
	{0, NULL},
};

static PyType_Spec ring_spec = {
	.name = "cropring._ring.Ring",
	.basicsize = sizeof(struct ring),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = ring_slots,
};

/* ------------------------------------------------------------------ the module */

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type)
{
	*type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
	return *type ? PyModule_AddType(module, *type) : -1;
}

static int take_error(PyObject *errors, const char *name, PyObject **error)
{
	*error = PyObject_GetAttrString(errors, name);
	return *error ? 0 : -1;
}

static int module_exec(PyObject *module)
{
	struct module_state *state = PyModule_GetState(module);
	PyObject *errors = PyImport_ImportModule("cropring.errors");
	int rc = -1;

	if (errors && take_error(errors, "CropringError", &state->cropring_error) == 0 &&
	    take_error(errors, "WorkerDied", &state->worker_died) == 0 &&
	    take_error(errors, "LayoutMismatch", &state->layout_mismatch) == 0 &&
	    take_error(errors, "RingCorrupted", &state->ring_corrupted) == 0 &&
	    take_error(errors, "SlotsExhausted", &state->slots_exhausted) == 0 &&
	    add_type(module, &view_spec, &state->view_type) == 0 && add_type(module, &lease_spec, &state->lease_type) == 0 &&
	    add_type(module, &ring_spec, &state->ring_type) == 0 && observer_add(module) == 0 && judge_add(module) == 0)
		rc = 0;
	Py_XDECREF(errors);
	return rc;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
	struct module_state *state = PyModule_GetState(module);

	Py_VISIT(state->cropring_error);
	Py_VISIT(state->worker_died);
	Py_VISIT(state->layout_mismatch);
	Py_VISIT(state->ring_corrupted);
	Py_VISIT(state->slots_exhausted);
	Py_VISIT(state->ring_type);
	Py_VISIT(state->lease_type);
	Py_VISIT(state->view_type);
	return 0;
}

static int module_clear(PyObject *module)
{
	struct module_state *state = PyModule_GetState(module);

	Py_CLEAR(state->cropring_error);
	Py_CLEAR(state->worker_died);
	Py_CLEAR(state->layout_mismatch);
	Py_CLEAR(state->ring_corrupted);
	Py_CLEAR(state->slots_exhausted);
	Py_CLEAR(state->ring_type);
	Py_CLEAR(state->lease_type);
	Py_CLEAR(state->view_type);
	return 0;
}

static PyModuleDef_Slot module_slots[] = {
	{Py_mod_exec, module_exec},
	{0, NULL},
};

static struct PyModuleDef module_definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "cropring._ring",
	.m_doc = "Borrowing batches from a ring in shared memory.",
	.m_size = sizeof(struct module_state),
	.m_slots = module_slots,
	.m_traverse = module_traverse,
	.m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__ring(void)
{
	return PyModuleDef_Init(&module_definition);
}
