/*
 * dlpack.h - a field of a borrowed batch for other array libraries, as a DLPack capsule.
 *
 * What a capsule holds is laid down by DLPack's header, version 1.1 (github.com/dmlc/dlpack); what the calls mean, by its "Python
 * Specification" and by the array API standard 2023.12.  The names of the structs there stand beside ours.
 */
#ifndef CROPRING_DLPACK_H
#define CROPRING_DLPACK_H

#include <Python.h>

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum dlpack_device_type { DLPACK_CPU = 1 }; /* DLDeviceType; also where we are page-locked: PyTorch takes no other */
enum dlpack_type_code { DLPACK_INT, DLPACK_UINT, DLPACK_FLOAT };  /* DLDataTypeCode */
enum dlpack_flags { DLPACK_READ_ONLY = 1, DLPACK_IS_COPIED = 2 }; /* DLPACK_FLAG_BITMASK_... */

struct dlpack_tensor { /* DLTensor */
	void *data;
	struct {
		int32_t type, number;
	} device;
	int32_t dim_count;
	struct {
		uint8_t code, bits;
		uint16_t lanes;
	} dtype;
	int64_t *shape, *strides; /* strides in elements */
	uint64_t offset_bytes;
};

struct dlpack_unversioned { /* DLManagedTensor, in a capsule "dltensor" */
	struct dlpack_tensor tensor;
	void *owner;
	void (*free)(struct dlpack_unversioned *managed);
};

struct dlpack_versioned { /* DLManagedTensorVersioned, in a capsule "dltensor_versioned" */
	struct {
		uint32_t major, minor;
	} version;
	void *owner;
	void (*free)(struct dlpack_versioned *managed);
	uint64_t flags;
	struct dlpack_tensor tensor;
};

static_assert(sizeof(void *) == 8 && sizeof(struct dlpack_tensor) == 48, "DLTensor");
static_assert(offsetof(struct dlpack_tensor, device) == 8 && offsetof(struct dlpack_tensor, dim_count) == 16, "DLTensor");
static_assert(offsetof(struct dlpack_tensor, dtype) == 20 && offsetof(struct dlpack_tensor, shape) == 24, "DLTensor");
static_assert(offsetof(struct dlpack_tensor, strides) == 32 && offsetof(struct dlpack_tensor, offset_bytes) == 40, "DLTensor");
static_assert(offsetof(struct dlpack_unversioned, owner) == 48 && offsetof(struct dlpack_unversioned, free) == 56,
              "DLManagedTensor");
static_assert(offsetof(struct dlpack_versioned, owner) == 8 && offsetof(struct dlpack_versioned, free) == 16,
              "DLManagedTensorVersioned");
static_assert(offsetof(struct dlpack_versioned, flags) == 24 && offsetof(struct dlpack_versioned, tensor) == 32,
              "DLManagedTensorVersioned");

/* The methods __dlpack__() and __dlpack_device__() of an object that is a buffer. */
PyObject *dlpack_export(PyObject *exporter, PyObject *arguments, PyObject *keywords);
PyObject *dlpack_device(PyObject *exporter, PyObject *none);

#endif
