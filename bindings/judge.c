/* judge.c - verdict(before, after): two snapshots of a ring, as Observer makes them, in; who waited for whom meanwhile, as a dict, out. */
#include "bindings/judge.h"

#include <string.h>

#include "base/verdict.h"

static int take_counter(struct verdict_reading *reading, PyObject *name, PyObject *value)
{
	const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
	unsigned long long number = text ? PyLong_AsUnsignedLongLong(value) : 0;

	if (PyErr_Occurred())
		return -1;
	verdict_set_counter(reading, text, number);
	return 0;
}

/* New references; NULL without an exception when there is none. */
static PyObject *item_of(PyObject *dict, const char *key)
{
	PyObject *value = PyMapping_GetItemString(dict, key);

	if (!value && PyErr_ExceptionMatches(PyExc_KeyError))
		PyErr_Clear();
	return value;
}

static int take_counters(struct verdict_reading *reading, PyObject *counters)
{
	PyObject *name, *value;
	Py_ssize_t at = 0;

	if (!PyDict_Check(counters)) {
		PyErr_SetString(PyExc_TypeError, "verdict: \"counters\" is no dict");
		return -1;
	}
	while (PyDict_Next(counters, &at, &name, &value)) {
		if (take_counter(reading, name, value) < 0)
			return -1;
	}
	return 0;
}

/* 0 when the key is missing. */
static int take_number(PyObject *dict, const char *key, uint64_t *number)
{
	PyObject *value = item_of(dict, key);

	*number = value ? PyLong_AsUnsignedLongLong(value) : 0;
	Py_XDECREF(value);
	return PyErr_Occurred() ? -1 : 0;
}

static int take_reader(struct verdict_reading *reading, PyObject *dict)
{
	struct verdict_reader *reader = &reading->reader[reading->reader_count];
	uint64_t number, pid;

	if (reading->reader_count == VERDICT_MAX_READERS)
		return 0;
	if (take_number(dict, "number", &number) < 0 || take_number(dict, "pid", &pid) < 0 ||
	    take_number(dict, "present_ns", &reader->present_ns) < 0 || take_number(dict, "wait_ns", &reader->wait_ns) < 0 ||
	    take_number(dict, "start_wait_ns", &reader->start_wait_ns) < 0)
		return -1;
	reader->number = (uint32_t)number;
	reader->pid = (int32_t)pid;
	reading->reader_count++;
	return 0;
}

static int take_readers(struct verdict_reading *reading, PyObject *readers)
{
	Py_ssize_t count = PySequence_Size(readers);
	int rc = count < 0 ? -1 : 0;

	for (Py_ssize_t i = 0; rc == 0 && i < count; i++) {
		PyObject *reader = PySequence_GetItem(readers, i);

		rc = reader ? take_reader(reading, reader) : -1;
		Py_XDECREF(reader);
	}
	return rc;
}

static int take_shape(struct verdict_reading *reading, PyObject *snapshot)
{
	PyObject *share = item_of(snapshot, "share"), *slots = share || !PyErr_Occurred() ? item_of(snapshot, "slots") : NULL;
	Py_ssize_t slot_count = slots ? PySequence_Size(slots) : 0;

	reading->is_shared = share && PyUnicode_Check(share) && PyUnicode_CompareWithASCIIString(share, "split") != 0;
	reading->has_lanes = share && PyUnicode_Check(share) && PyUnicode_CompareWithASCIIString(share, "lanes") == 0;
	reading->slot_count = (uint32_t)slot_count;
	Py_XDECREF(share);
	Py_XDECREF(slots);
	return PyErr_Occurred() ? -1 : 0;
}

/* {}: the start. */
static int take_reading(struct verdict_reading *reading, PyObject *snapshot)
{
	PyObject *counters, *readers = NULL;
	int rc;

	*reading = (struct verdict_reading){.batches = 0};
	if (!PyDict_Check(snapshot)) {
		PyErr_SetString(PyExc_TypeError, "verdict: two snapshots are expected, dicts with \"counters\" and \"readers\"");
		return -1;
	}
	counters = item_of(snapshot, "counters");
	rc = counters ? take_counters(reading, counters) : PyErr_Occurred() ? -1 : 0;
	if (rc == 0)
		readers = item_of(snapshot, "readers");
	if (readers)
		rc = take_readers(reading, readers);
	Py_XDECREF(counters);
	Py_XDECREF(readers);
	return rc < 0 || PyErr_Occurred() ? -1 : take_shape(reading, snapshot);
}

static PyObject *judge(PyObject *Py_UNUSED(module), PyObject *arguments)
{
	struct verdict_reading before, after;
	PyObject *earlier, *later;
	struct verdict verdict;

	if (!PyArg_ParseTuple(arguments, "OO:verdict", &earlier, &later) || take_reading(&before, earlier) < 0 ||
	    take_reading(&after, later) < 0)
		return NULL;
	verdict_judge(&before, &after, &verdict);
	return Py_BuildValue("{s:s,s:s,s:s,s:d,s:d,s:d,s:d,s:N}", "kind", verdict_kind_name(verdict.kind), "cause",
	                     verdict_cause_name(verdict.cause), "sentence", verdict.sentence, "headroom", verdict.headroom,
	                     "reader_share", verdict.reader_share, "start_share", verdict.start_share, "idle_share",
	                     verdict.idle_share, "reader",
	                     verdict.reader < 0 ? Py_NewRef(Py_None) : PyLong_FromLong(verdict.reader));
}

int judge_add(PyObject *module)
{
	static PyMethodDef functions[] = {
		{"verdict", judge, METH_VARARGS,
	         "verdict(before, after, /)\n--\n\nWho waited for whom between two snapshots of a ring; {} is the start."},
		{NULL, NULL, 0, NULL},
	};

	return PyModule_AddFunctions(module, functions);
}
