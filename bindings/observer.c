/*
 * observer.c - the type Observer: a ring seen from outside, as a dict of plain numbers and words.
 *
 * Under the GIL, but for the moment in which the worker answers at its door.
 */
#include "bindings/observer.h"

#include <errno.h>

#include "bindings/raise.h"

struct observer {
	PyObject_HEAD struct shmring_observer *shown; /* NULL: closed */
};

static int check_looking(const struct observer *observer)
{
	if (observer->shown)
		return 0;
	PyErr_SetString(PyExc_ValueError, "the observer is closed");
	return -1;
}

/* The numbers whose bits are set. */
static PyObject *list_readers(uint32_t mask)
{
	PyObject *numbers = PyList_New(0);

	for (uint32_t number = 0; numbers && number < SHMRING_MAX_READERS; number++) {
		PyObject *item = (mask >> number & 1) != 0 ? PyLong_FromUnsignedLong(number) : NULL;

		if (item && PyList_Append(numbers, item) < 0)
			Py_CLEAR(numbers);
		Py_XDECREF(item);
		if (PyErr_Occurred())
			Py_CLEAR(numbers);
	}
	return numbers;
}

static PyObject *slot_as_dict(const struct shmring_slot_look *slot)
{
	static const char *const states[] = {"free", "filling", "ready", "held"};

	return Py_BuildValue("{s:s,s:k,s:k,s:N}", "state", states[slot->state], "seq", (unsigned long)slot->sequence, "epoch",
	                     (unsigned long)slot->epoch, "readers", list_readers(slot->reader_mask));
}

static PyObject *reader_as_dict(uint32_t number, const struct shmring_reader_look *reader)
{
	return Py_BuildValue("{s:k,s:i,s:N,s:N,s:k,s:k,s:K,s:K,s:K,s:K}", "number", (unsigned long)number, "pid", (int)reader->pid,
	                     "there", PyBool_FromLong(reader->is_there), "waiting", PyBool_FromLong(reader->waiting), "held",
	                     (unsigned long)reader->held, "ready", (unsigned long)reader->ready, "taken",
	                     (unsigned long long)reader->taken, "present_ns", (unsigned long long)reader->times.present_ns,
	                     "wait_ns", (unsigned long long)reader->times.wait_ns, "start_wait_ns",
	                     (unsigned long long)reader->times.start_wait_ns);
}

/* Steals item. */
static void append(PyObject **list, PyObject *item)
{
	if (*list && (!item || PyList_Append(*list, item) < 0))
		Py_CLEAR(*list);
	Py_XDECREF(item);
}

static PyObject *list_slots(const struct shmring_snapshot *snapshot)
{
	PyObject *slots = PyList_New(0);

	for (uint32_t i = 0; slots && i < snapshot->slot_count; i++)
		append(&slots, slot_as_dict(&snapshot->slot[i]));
	return slots;
}

/* Those who are there or have something; in lanes also the lanes that nobody reads, for which the others may wait. */
static PyObject *list_places(const struct shmring_snapshot *snapshot)
{
	PyObject *readers = PyList_New(0);

	for (uint32_t i = 0; readers && i < snapshot->reader_limit; i++) {
		const struct shmring_reader_look *reader = &snapshot->reader[i];

		if (reader->is_there || reader->held > 0 || snapshot->share == SHMRING_LANES)
			append(&readers, reader_as_dict(i, reader));
	}
	return readers;
}

/* Adds a counter to the dict, which becomes NULL with an exception if that fails. */
static void add_counter(PyObject **counters, const char *name, uint64_t number)
{
	PyObject *value = *counters ? PyLong_FromUnsignedLongLong(number) : NULL;

	if (*counters && (!value || PyDict_SetItemString(*counters, name, value) < 0))
		Py_CLEAR(*counters);
	Py_XDECREF(value);
}

/* Takes over `counters`. */
static PyObject *snapshot_as_dict(const struct shmring_snapshot *snapshot, const char *name, int32_t pid, const char *subject,
                                  bool is_alive, PyObject *counters)
{
	static const char *const shares[] = {"split", "lanes", "broadcast"};

	return Py_BuildValue("{s:N,s:i,s:N,s:s,s:N,s:N,s:N,s:N,s:N,s:K}", "name", decode_text(name), "pid", (int)pid, "subject",
	                     decode_text(subject), "share", shares[snapshot->share], "ended", PyBool_FromLong(snapshot->ended),
	                     "alive", PyBool_FromLong(is_alive), "slots", list_slots(snapshot), "readers", list_places(snapshot),
	                     "counters", counters, "time_ns", (unsigned long long)snapshot->time_ns);
}

PyObject *ring_snapshot(struct ring *ring, PyObject *Py_UNUSED(none))
{
	const struct shmring_reader *reader = ring->reader;
	PyObject *counters;
	struct shmring_snapshot snapshot;

	if (check_open(ring) < 0)
		return NULL;
	shmring_look_from_seat(reader, &snapshot);
	counters = PyDict_New();
	for (uint32_t i = 0; i < shmring_counter_count(reader); i++)
		add_counter(&counters, shmring_counter_name(reader, i), snapshot.counter[i]);
	return snapshot_as_dict(&snapshot, shmring_name(reader), shmring_producer_pid(reader), "",
	                        shmring_producer_is_alive(reader), counters);
}

static PyObject *observer_snapshot(struct observer *observer, PyObject *Py_UNUSED(none))
{
	const struct shmring_observer *shown = observer->shown;
	PyObject *counters;
	struct shmring_snapshot snapshot;

	if (check_looking(observer) < 0)
		return NULL;
	if (shmring_look(shown, &snapshot) < 0) {
		PyErr_SetString(PyExc_RuntimeError,
		                "this observer belongs to the process that this one is a fork of: attach again here");
		return NULL;
	}
	counters = PyDict_New();
	for (uint32_t i = 0; i < shmring_observed_counter_count(shown); i++)
		add_counter(&counters, shmring_observed_counter_name(shown, i), snapshot.counter[i]);
	return snapshot_as_dict(&snapshot, shmring_observed_name(shown), shmring_observed_pid(shown),
	                        shmring_observed_subject(shown), shmring_observed_is_alive(shown), counters);
}

static PyObject *observer_close(struct observer *observer, PyObject *Py_UNUSED(none))
{
	shmring_unobserve(observer->shown);
	observer->shown = NULL;
	Py_RETURN_NONE;
}

static PyObject *observer_enter(PyObject *observer, PyObject *Py_UNUSED(none))
{
	return Py_NewRef(observer);
}

static PyObject *observer_exit(struct observer *observer, PyObject *Py_UNUSED(exception))
{
	return observer_close(observer, NULL);
}

static void observer_dealloc(struct observer *observer)
{
	shmring_unobserve(observer->shown);
	free_object(observer);
}

static PyObject *wrap(PyTypeObject *type, struct shmring_observer *shown)
{
	struct observer *observer = new_object(type);

	if (!observer) {
		shmring_unobserve(shown);
		return NULL;
	}
	observer->shown = shown;
	return (PyObject *)observer;
}

static PyObject *observer_attach(PyTypeObject *type, PyObject *name)
{
	struct shmring_observer *shown = NULL;
	struct err err = {""};
	PyObject *path;
	const char *text;
	int code;

	if (!PyUnicode_FSConverter(name, &path))
		return NULL;
	text = PyBytes_AsString(path);
	do {
		Py_BEGIN_ALLOW_THREADS
		code = shmring_observe(&shown, text, &err);
		Py_END_ALLOW_THREADS
	} while (code == -EINTR && PyErr_CheckSignals() == 0);
	Py_DECREF(path);
	if (code == 0)
		return wrap(type, shown);
	if (!PyErr_Occurred())
		raise_attach_error(PyType_GetModuleState(type), code, &err);
	return NULL;
}

static PyMethodDef observer_methods[] = {
	{"attach", (PyCFunction)observer_attach, METH_O | METH_CLASS,
         "attach($type, name, /)\n--\n\nLooks at the ring of that name of this user, or the one at a socket path that holds a "
         "'/'."},
	{"snapshot", (PyCFunction)observer_snapshot, METH_NOARGS,
         "snapshot($self, /)\n--\n\nSlots, readers and counters as they are now, also after the worker's death."},
	{"close", (PyCFunction)observer_close, METH_NOARGS, "close($self, /)\n--\n\nLooks no more."},
	{"__enter__", (PyCFunction)observer_enter, METH_NOARGS, NULL},
	{"__exit__", (PyCFunction)observer_exit, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyType_Slot observer_slots[] = {
	{Py_tp_doc, "One who looks at a ring and takes nothing: not counted, never waited for, and of no effect on anyone."},
	{Py_tp_dealloc, observer_dealloc},
	{Py_tp_methods, observer_methods},
	{0, NULL},
};

static PyType_Spec observer_spec = {
	.name = "cropring._ring.Observer",
	.basicsize = sizeof(struct observer),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = observer_slots,
};

int observer_add(PyObject *module)
{
	PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &observer_spec, NULL);
	int rc = type ? PyModule_AddType(module, type) : -1;

	Py_XDECREF((PyObject *)type);
	return rc;
}
