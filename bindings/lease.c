/* lease.c - Lease (a borrowed batch) and View (the memory of one of its fields, as a PEP 3118 buffer and by DLPack).  Under the GIL. */
#include "bindings/dlpack.h"
#include "bindings/objects.h"

#include <string.h>

struct lease {
	PyObject_HEAD struct ring *ring;
	struct shmring_lease held;
	bool released;
	Py_ssize_t view_count;
};

struct view {
	PyObject_HEAD struct lease *lease;
	void *data;
	Py_ssize_t byte_count, item_bytes;
	int dim_count;
	Py_ssize_t shape[SHMRING_MAX_DIMS], strides_bytes[SHMRING_MAX_DIMS];
	char format[2];
	bool writable;
};

/* Format (of the struct module) and size of an enum shmring_dtype. */
static const struct {
	char format;
	uint8_t bytes;
} dtypes[] = {
	[SHMRING_UINT8] = {'B', 1},   [SHMRING_INT32] = {'i', 4},   [SHMRING_INT64] = {'q', 8},
	[SHMRING_FLOAT16] = {'e', 2}, [SHMRING_FLOAT32] = {'f', 4}, [SHMRING_UINT16] = {'H', 2},
};

static int check_lent(const struct lease *lease)
{
	if (lease->released) {
		PyErr_SetString(PyExc_ValueError, "the batch was released");
		return -1;
	}
	return check_owner(lease->ring);
}

/* ------------------------------------------------------------------ View */

static int view_getbuffer(struct view *view, Py_buffer *buffer, int flags)
{
	buffer->obj = NULL;
	if (check_lent(view->lease) < 0)
		return -1;
	if ((flags & PyBUF_WRITABLE) && !view->writable) {
		PyErr_SetString(PyExc_BufferError, "read-only: in a broadcast ring every reader sees the same memory");
		return -1;
	}
	if ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS && view->dim_count > 1) {
		PyErr_SetString(PyExc_BufferError, "the memory is in C order");
		return -1;
	}
	buffer->buf = view->data;
	buffer->len = view->byte_count;
	buffer->itemsize = view->item_bytes;
	buffer->readonly = !view->writable;
	buffer->ndim = view->dim_count;
	buffer->format = flags & PyBUF_FORMAT ? view->format : NULL;
	buffer->shape = flags & PyBUF_ND ? view->shape : NULL;
	buffer->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? view->strides_bytes : NULL;
	buffer->suboffsets = NULL;
	buffer->internal = NULL;
	Py_INCREF((PyObject *)view);
	buffer->obj = (PyObject *)view;
	return 0;
}

static void view_dealloc(struct view *view)
{
	view->lease->view_count--;
	Py_DECREF((PyObject *)view->lease);
	free_object(view);
}

static PyMethodDef view_methods[] = {
	{"__dlpack__", (PyCFunction)(void (*)(void))dlpack_export, METH_VARARGS | METH_KEYWORDS,
         "__dlpack__($self, /, *, stream=None, max_version=None, dl_device=None, copy=None)\n--\n\n"
         "A DLPack capsule over the memory, or over a copy of it, by the array API standard.  Without max_version of (1, 0) or later it "
         "cannot say that memory is read-only, as that of a broadcast ring is: then it has a copy, and BufferError if copy is False."},
	{"__dlpack_device__", dlpack_device, METH_NOARGS, "__dlpack_device__($self, /)\n--\n\n(1, 0): memory of the CPU."},
	{NULL, NULL, 0, NULL},
};

static PyType_Slot view_slots[] = {
	{Py_tp_doc, "One field of a borrowed batch, as a buffer and by DLPack: numpy.asarray(view), torch.from_dlpack(view) and "
                    "jax.dlpack.from_dlpack(view) copy nothing.  Keeps the batch's slot."},
	{Py_tp_dealloc, view_dealloc},
	{Py_tp_methods, view_methods},
	{Py_bf_getbuffer, view_getbuffer},
	{0, NULL},
};

PyType_Spec view_spec = {
	.name = "cropring._ring.View",
	.basicsize = sizeof(struct view),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = view_slots,
};

/* ------------------------------------------------------------------ Lease */

static void give_back(struct lease *lease)
{
	struct ring *ring = lease->ring;

	if (lease->released || !owned_here(ring))
		return;
	lease->released = true;
	(void)shmring_release(ring->reader, &lease->held); /* -ESTALE: the producer took it back, which is what we want */
}

static void lease_dealloc(struct lease *lease)
{
	give_back(lease);
	Py_DECREF((PyObject *)lease->ring);
	free_object(lease);
}

static int find_field(const struct shmring_reader *reader, PyObject *name, uint32_t *field)
{
	const char *wanted = PyUnicode_AsUTF8AndSize(name, NULL);

	if (!wanted)
		return -1;
	for (uint32_t i = 0; i < shmring_field_count(reader); i++) {
		if (strcmp(shmring_field(reader, i)->name, wanted) == 0) {
			*field = i;
			return 0;
		}
	}
	PyErr_SetObject(PyExc_KeyError, name);
	return -1;
}

/* The field's array, cut to the rows that the batch really has. */
static void describe_view(struct view *view, const struct shmring_field *field, uint32_t row_count)
{
	view->format[0] = dtypes[field->dtype].format;
	view->item_bytes = dtypes[field->dtype].bytes;
	view->dim_count = (int)field->dim_count;
	view->byte_count = view->item_bytes;
	for (uint32_t i = field->dim_count; i-- > 0;) {
		view->shape[i] = i == 0 && row_count < field->shape[0] ? (Py_ssize_t)row_count : (Py_ssize_t)field->shape[i];
		view->strides_bytes[i] = view->byte_count;
		view->byte_count *= view->shape[i];
	}
}

static PyObject *lease_view(struct lease *lease, PyObject *name)
{
	const struct shmring_reader *reader = lease->ring->reader;
	struct view *view;
	uint32_t field;

	if (check_lent(lease) < 0 || find_field(reader, name, &field) < 0)
		return NULL;
	view = new_object(state_of(lease)->view_type);
	if (!view)
		return NULL;
	Py_INCREF((PyObject *)lease);
	view->lease = lease;
	lease->view_count++;
	view->data = shmring_lease_data(reader, &lease->held, field);
	view->writable = shmring_writable(reader);
	describe_view(view, shmring_field(reader, field), lease->held.row_count);
	return (PyObject *)view;
}

static PyObject *lease_release(struct lease *lease, PyObject *Py_UNUSED(none))
{
	if (!lease->released) {
		if (check_owner(lease->ring) < 0)
			return NULL;
		if (lease->view_count > 0)
			return PyErr_Format(PyExc_BufferError,
			                    "%zd array(s) of batch seq %u are still alive: drop or copy them first",
			                    lease->view_count, (unsigned)lease->held.sequence);
		give_back(lease);
	}
	Py_RETURN_NONE;
}

static PyObject *lease_sequence(struct lease *lease, void *Py_UNUSED(closure))
{
	return PyLong_FromUnsignedLong(lease->held.sequence);
}

static PyObject *lease_epoch(struct lease *lease, void *Py_UNUSED(closure))
{
	return PyLong_FromUnsignedLong(lease->held.epoch);
}

static PyObject *lease_row_count(struct lease *lease, void *Py_UNUSED(closure))
{
	return PyLong_FromUnsignedLong(lease->held.row_count);
}

static PyObject *lease_redelivered(struct lease *lease, void *Py_UNUSED(closure))
{
	return PyBool_FromLong(lease->held.redelivered);
}

static PyObject *lease_released(struct lease *lease, void *Py_UNUSED(closure))
{
	return PyBool_FromLong(lease->released);
}

static PyMethodDef lease_methods[] = {
	{"view", (PyCFunction)lease_view, METH_O, "view($self, name, /)\n--\n\nA buffer over the field of that name, or KeyError."},
	{"release", (PyCFunction)lease_release, METH_NOARGS,
         "release($self, /)\n--\n\nGives the slot back now.  BufferError while views are alive; nothing the second time."},
	{NULL, NULL, 0, NULL},
};

static PyGetSetDef lease_attributes[] = {
	{"sequence", (getter)lease_sequence, NULL, "Number of the batch in the stream, modulo 2**32.", NULL},
	{"epoch", (getter)lease_epoch, NULL, "Epoch that the batch belongs to.", NULL},
	{"row_count", (getter)lease_row_count, NULL, "Samples in the batch.", NULL},
	{"redelivered", (getter)lease_redelivered, NULL, "True when a reader that died had the batch before.", NULL},
	{"released", (getter)lease_released, NULL, "True once the slot was given back.", NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot lease_slots[] = {
	{Py_tp_doc, "A borrowed batch.  Its slot goes back with release(), or when it and its last view are gone."},
	{Py_tp_dealloc, lease_dealloc},
	{Py_tp_methods, lease_methods},
	{Py_tp_getset, lease_attributes},
	{0, NULL},
};

PyType_Spec lease_spec = {
	.name = "cropring._ring.Lease",
	.basicsize = sizeof(struct lease),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = lease_slots,
};

PyObject *lease_new(struct module_state *state, struct ring *ring, const struct shmring_lease *held)
{
	struct lease *lease = new_object(state->lease_type);

	if (!lease) {
		(void)shmring_release(ring->reader, held); /* a fresh lease is never stale */
		return NULL;
	}
	Py_INCREF((PyObject *)ring);
	lease->ring = ring;
	lease->held = *held;
	return (PyObject *)lease;
}
