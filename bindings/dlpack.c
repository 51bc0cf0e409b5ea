/*
 * dlpack.c - DLPack capsules over a View, or over a copy of one.
 *
 * A tensor made from a capsule holds the view's buffer, as an array does, so that the slot goes back with the last of both.  Threads:
 * under the GIL, except that a tensor may die anywhere; then the GIL is taken.
 */
#include "bindings/dlpack.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shmring/shmring.h"

static const char unversioned_name[] = "dltensor", versioned_name[] = "dltensor_versioned";

enum { ALIGNMENT_BYTES = 256 }; /* of the data, says DLPack's header; fields of a slot have it */

/* What stands behind a capsule, and behind the tensor that takes it over. */
struct export
{
	union {
		struct dlpack_unversioned unversioned;
		struct dlpack_versioned versioned;
	} managed;
	int64_t shape[SHMRING_MAX_DIMS], strides[SHMRING_MAX_DIMS];
	Py_buffer lent; /* keeps the view; without an object when the tensor has memory of its own, */
	void *copy;     /* which is this */
	pid_t owner_pid;
};

struct wish {
	bool versioned, must_copy, may_copy;
};

/* In a forked child the slot is not ours to give back, and after the interpreter's end nothing can be told to Python. */
static void free_export(struct export *export)
{
	if (export->lent.obj && export->owner_pid == getpid() && Py_IsInitialized()) {
		PyGILState_STATE gil = PyGILState_Ensure();

		PyBuffer_Release(&export->lent);
		PyGILState_Release(gil);
	}
	free(export->copy);
	free(export);
}

static void free_unversioned(struct dlpack_unversioned *managed)
{
	free_export(managed->owner);
}

static void free_versioned(struct dlpack_versioned *managed)
{
	free_export(managed->owner);
}

/* Whoever makes a tensor of a capsule gives it another name. */
static void free_capsule(PyObject *capsule)
{
	if (PyCapsule_IsValid(capsule, unversioned_name))
		free_unversioned(PyCapsule_GetPointer(capsule, unversioned_name));
	else if (PyCapsule_IsValid(capsule, versioned_name))
		free_versioned(PyCapsule_GetPointer(capsule, versioned_name));
}

/* ------------------------------------------------------------------ what is asked for */

static int take_pair(PyObject *value, const char *name, int *first, int *second)
{
	if (PyTuple_Check(value) && PyArg_ParseTuple(value, "ii", first, second))
		return 0;
	PyErr_Clear();
	PyErr_Format(PyExc_TypeError, "__dlpack__: %s=%R: a tuple of two whole numbers is expected", name, value);
	return -1;
}

static int take_wish(PyObject *arguments, PyObject *keywords, struct wish *wish)
{
	static char *names[] = {"stream", "max_version", "dl_device", "copy", NULL};
	PyObject *stream = Py_None, *max_version = Py_None, *dl_device = Py_None, *copy = Py_None;
	int major = 0, minor, type = DLPACK_CPU, number = 0, is_true;

	if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|$OOOO:__dlpack__", names, &stream, &max_version, &dl_device, &copy))
		return -1;
	if (!Py_IsNone(stream)) {
		PyErr_Format(PyExc_ValueError, "__dlpack__: stream=%R: memory of the CPU has none, None is expected", stream);
		return -1;
	}
	if ((!Py_IsNone(max_version) && take_pair(max_version, "max_version", &major, &minor) < 0) ||
	    (!Py_IsNone(dl_device) && take_pair(dl_device, "dl_device", &type, &number) < 0))
		return -1;
	if (type != DLPACK_CPU || number != 0) {
		PyErr_Format(PyExc_BufferError, "__dlpack__: dl_device=(%d, %d): the memory is the CPU's, (1, 0)", type, number);
		return -1;
	}
	is_true = PyObject_IsTrue(copy);
	wish->versioned = major >= 1;
	wish->must_copy = is_true > 0;
	wish->may_copy = is_true > 0 || Py_IsNone(copy);
	return is_true < 0 ? -1 : 0;
}

/* A capsule without version cannot say that nobody may write: then there is a copy, if there may be. */
static int settle_copy(const Py_buffer *lent, struct wish *wish)
{
	if (lent->readonly && !wish->versioned)
		wish->must_copy = true;
	if (!wish->must_copy || wish->may_copy)
		return 0;
	PyErr_SetString(PyExc_BufferError,
	                "__dlpack__: read-only memory (in a broadcast ring every reader sees the same), which only "
	                "max_version=(1, 0) can say: ask for that, or let copy be None or True");
	return -1;
}

/* ------------------------------------------------------------------ what is given */

/* Of the formats that lease.c has. */
static uint8_t type_code(char format)
{
	return format == 'e' || format == 'f' ? DLPACK_FLOAT : format == 'i' || format == 'q' ? DLPACK_INT : DLPACK_UINT;
}

static void describe_tensor(struct export *export, struct dlpack_tensor *tensor)
{
	const Py_buffer *lent = &export->lent;

	tensor->data = lent->buf;
	tensor->device.type = DLPACK_CPU;
	tensor->dim_count = lent->ndim;
	tensor->dtype.code = type_code(lent->format[0]);
	tensor->dtype.bits = (uint8_t)(lent->itemsize * 8);
	tensor->dtype.lanes = 1;
	tensor->shape = export->shape;
	tensor->strides = export->strides;
	for (int i = 0; i < lent->ndim; i++) {
		export->shape[i] = lent->shape[i];
		export->strides[i] = lent->strides[i] / lent->itemsize;
	}
}

/* The tensor has memory of its own from now on. */
static int move_out(struct export *export, struct dlpack_tensor *tensor)
{
	const size_t byte_count = (size_t) export->lent.len;

	export->copy = aligned_alloc(ALIGNMENT_BYTES, (byte_count / ALIGNMENT_BYTES + 1) * ALIGNMENT_BYTES);
	if (!export->copy) {
		PyErr_NoMemory();
		return -1;
	}
	Py_BEGIN_ALLOW_THREADS
	memcpy(export->copy, export->lent.buf, byte_count);
	Py_END_ALLOW_THREADS
	PyBuffer_Release(&export->lent);
	tensor->data = export->copy;
	return 0;
}

static PyObject *unversioned_capsule(struct export *export, bool copy)
{
	struct dlpack_unversioned *managed = &export->managed.unversioned;

	managed->owner = export;
	managed->free = free_unversioned;
	describe_tensor(export, &managed->tensor);
	if (copy && move_out(export, &managed->tensor) < 0)
		return NULL;
	return PyCapsule_New(managed, unversioned_name, free_capsule);
}

static PyObject *versioned_capsule(struct export *export, bool copy)
{
	struct dlpack_versioned *managed = &export->managed.versioned;

	managed->version.major = 1; /* and minor 0: nothing in it is newer */
	managed->owner = export;
	managed->free = free_versioned;
	managed->flags = copy ? DLPACK_IS_COPIED : export->lent.readonly ? DLPACK_READ_ONLY : 0;
	describe_tensor(export, &managed->tensor);
	if (copy && move_out(export, &managed->tensor) < 0)
		return NULL;
	return PyCapsule_New(managed, versioned_name, free_capsule);
}

PyObject *dlpack_export(PyObject *exporter, PyObject *arguments, PyObject *keywords)
{
	struct export *export;
	PyObject *capsule = NULL;
	struct wish wish;

	if (take_wish(arguments, keywords, &wish) < 0)
		return NULL;
	export = calloc(1, sizeof *export);
	if (!export)
		return PyErr_NoMemory();
	export->owner_pid = getpid();
	if (PyObject_GetBuffer(exporter, &export->lent, PyBUF_FULL_RO) == 0 && settle_copy(&export->lent, &wish) == 0)
		capsule = wish.versioned ? versioned_capsule(export, wish.must_copy) : unversioned_capsule(export, wish.must_copy);
	if (!capsule)
		free_export(export);
	return capsule;
}

PyObject *dlpack_device(PyObject *Py_UNUSED(exporter), PyObject *Py_UNUSED(none))
{
	return Py_BuildValue("(ii)", DLPACK_CPU, 0);
}
