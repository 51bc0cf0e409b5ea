/* fuzz_npy.c - hostile headers of .npy files: what is taken has a known type and lies where the file says, and no value is out of reach. */
#include <stdio.h>
#include <stdlib.h>

#include "loader/plan/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	struct npy npy;

	if (npy_parse(data, byte_count < NPY_HEAD_BYTES ? byte_count : NPY_HEAD_BYTES, &npy) != NULL)
		return 0;
	if (npy.data_offset > byte_count || npy.kind > NPY_UNSIGNED ||
	    (npy.value_bytes != 8 && npy.value_bytes != 4 &&
	     (npy.kind == NPY_FLOAT || npy.value_bytes > 2 || npy.value_bytes < 1))) {
		fprintf(stderr, "a header that cannot be\n");
		abort();
	}
	for (size_t at = npy.data_offset; byte_count - at >= npy.value_bytes; at += npy.value_bytes) {
		double value = npy_value(&npy, data + at);

		if (npy.kind == NPY_UNSIGNED && !(value >= 0 && value <= 18446744073709551616.0)) {
			fprintf(stderr, "an unsigned number of %g\n", value);
			abort();
		}
	}
	return 0;
}
