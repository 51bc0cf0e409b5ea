/* test_npy.c - which NumPy array files are read, what their values are, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/plan/npy.h"
#include "loader/plan/weights_file.h"

/* A file of version 1.0 with this header text. */
static size_t make(uint8_t file[1024], const char *header, const void *data, size_t data_bytes)
{
	size_t header_bytes = strlen(header);

	memcpy(file, "\x93NUMPY\x01\x00", 8);
	file[8] = (uint8_t)header_bytes;
	file[9] = (uint8_t)(header_bytes >> 8);
	memcpy(file + 10, header, header_bytes);
	if (data_bytes > 0)
		memcpy(file + 10 + header_bytes, data, data_bytes);
	return 10 + header_bytes + data_bytes;
}

static const char *fault_of(const char *header)
{
	uint8_t file[1024];
	struct npy npy;

	return npy_parse(file, make(file, header, NULL, 0), &npy);
}

static void values_of_every_type_are_read(void **state)
{
	static const double f8[] = {0.1, -3};
	static const float f4[] = {0.5f, 1e30f};
	static const int64_t i8[] = {-1, INT64_MIN};
	static const int16_t i2[] = {-1, 300};
	static const int8_t i1[] = {-128, 127};
	static const uint64_t u8[] = {UINT64_MAX, 7};
	static const uint8_t u1[] = {0, 255};
	static const struct {
		const char *type;
		const void *data;
		uint32_t value_bytes;
		double first, second;
	} rows[] = {
		{"<f8", f8, 8, 0.1, -3}, {"<f4", f4, 4, 0.5, 1e30f}, {"<i8", i8, 8, -1, -9223372036854775808.0},
		{"<i2", i2, 2, -1, 300}, {"|i1", i1, 1, -128, 127},  {"<u8", u8, 8, 18446744073709551616.0, 7},
		{"|u1", u1, 1, 0, 255},  {"|b1", u1, 1, 0, 255},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint8_t file[1024];
		char header[200];
		struct npy npy;

		snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }   \n", rows[i].type);
		assert_null(npy_parse(file, make(file, header, rows[i].data, 2 * rows[i].value_bytes), &npy));
		assert_int_equal(npy.count, 2);
		assert_int_equal(npy.value_bytes, rows[i].value_bytes);
		assert_true(npy_value(&npy, file + npy.data_offset) == rows[i].first);
		assert_true(npy_value(&npy, file + npy.data_offset + npy.value_bytes) == rows[i].second);
	}
}

static void entries_may_stand_in_any_order_and_both_quotes(void **state)
{
	(void)state;
	assert_null(fault_of("{\"shape\":(7,),'fortran_order':True,\"descr\":'<f8'}\n"));
}

static void other_arrays_are_refused_with_their_reason(void **state)
{
	(void)state;
	assert_non_null(strstr(fault_of("{'descr': '>f8', 'fortran_order': False, 'shape': (2,), }\n"), "type"));
	assert_non_null(strstr(fault_of("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }\n"), "type"));
	assert_non_null(strstr(fault_of("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,), }\n"), "type"));
	assert_non_null(strstr(fault_of("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }\n"), "dimension"));
	assert_non_null(strstr(fault_of("{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n"), "dimension"));
	assert_non_null(
		strstr(fault_of("{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551616,), }\n"), "dimension"));
	assert_non_null(
		strstr(fault_of("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,), }\n"), "dimension"));
}

static void broken_headers_are_refused(void **state)
{
	static const char *const headers[] = {
		"",
		"\n",
		"{}\n",
		"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }",
		"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), } x\n",
		"{'descr': '<f8', 'fortran_order': False, 'shape': (2,)\n",
		"{'descr': '<f8', 'descr': '<f8', 'shape': (2,), }\n",
		"{'descr': '<f8', 'fortran_order': False, 'fortran_order': False, }\n",
		"{'descr': '<f8', 'shape': (2,), 'shape': (2,), }\n",
		"{'descr': '<f8', 'fortran_order': False, }\n",
		"{'descr': '<f8' 'fortran_order': False, 'shape': (2,), }\n",
		"{'descr': '<f8', 'fortran_order': 0, 'shape': (2,), }\n",
		"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), 'more': 1, }\n",
		"{'descr\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
		assert_non_null(fault_of(headers[i]));
}

static void every_cut_of_a_file_is_refused(void **state)
{
	uint8_t file[1024];
	struct npy npy;
	size_t byte_count = make(file, "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n", NULL, 0);

	(void)state;
	assert_null(npy_parse(file, byte_count, &npy));
	for (size_t cut = 0; cut < byte_count; cut++) {
		uint8_t *exact = malloc(cut + 1); /* so that a sanitizer sees a look beyond it */

		memcpy(exact, file, cut);
		assert_non_null(npy_parse(exact, cut, &npy));
		free(exact);
	}
	for (int i = 6; i < 8; i++) {
		file[i] += 3;
		assert_non_null(strstr(npy_parse(file, byte_count, &npy), "version"));
		file[i] -= 3;
	}
}

/* ------------------------------------------------------------------ the file */

static int read_file(const uint8_t *bytes, size_t byte_count, uint64_t expected, double **values, struct err *err)
{
	char path[] = "/tmp/cropring-test-npy-XXXXXX";
	int fd = mkstemp(path), rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, byte_count), byte_count);
	close(fd);
	rc = weights_file_read(path, expected, values, err);
	unlink(path);
	return rc;
}

static void a_long_file_is_read_in_pieces(void **state)
{
	enum { COUNT = 30001 };
	static uint8_t file[200 + 4 * COUNT];
	float data[COUNT];
	double *values;
	struct err err;
	size_t head_bytes;

	(void)state;
	for (int i = 0; i < COUNT; i++)
		data[i] = (float)i;
	head_bytes = make(file, "{'descr': '<f4', 'fortran_order': False, 'shape': (30001,), }\n", NULL, 0);
	memcpy(file + head_bytes, data, sizeof data);
	assert_int_equal(read_file(file, head_bytes + sizeof data, COUNT, &values, &err), 0);
	for (int i = 0; i < COUNT; i++)
		assert_true(values[i] == i);
	free(values);

	assert_true(read_file(file, head_bytes + sizeof data - 1, COUNT, &values, &err) < 0);
	assert_non_null(strstr(err.text, "too few"));
	assert_null(values);
	assert_true(read_file(file, head_bytes + sizeof data, COUNT - 1, &values, &err) < 0);
	assert_non_null(strstr(err.text, "30001 weights for 30000 samples"));
}

static void what_is_no_file_is_refused(void **state)
{
	char folder[] = "/tmp/cropring-test-npy-XXXXXX", fifo[64];
	double *values;
	struct err err;

	(void)state;
	assert_true(weights_file_read("/nowhere/weights.npy", 3, &values, &err) < 0);
	assert_non_null(strstr(err.text, "--weights /nowhere/weights.npy: cannot be opened"));
	assert_true(weights_file_read("/tmp", 3, &values, &err) < 0);
	assert_non_null(strstr(err.text, "not a file"));
	assert_true(weights_file_read("/dev/zero", 3, &values, &err) < 0);

	assert_non_null(mkdtemp(folder));
	snprintf(fifo, sizeof fifo, "%s/fifo", folder);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_true(weights_file_read(fifo, 3, &values, &err) < 0); /* at once, though nobody writes */
	assert_non_null(strstr(err.text, "not a file"));
	unlink(fifo);
	rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_every_type_are_read),
		cmocka_unit_test(entries_may_stand_in_any_order_and_both_quotes),
		cmocka_unit_test(other_arrays_are_refused_with_their_reason),
		cmocka_unit_test(broken_headers_are_refused),
		cmocka_unit_test(every_cut_of_a_file_is_refused),
		cmocka_unit_test(a_long_file_is_read_in_pieces),
		cmocka_unit_test(what_is_no_file_is_refused),
	};

	return cmocka_run_group_tests_name("npy", tests, NULL, NULL);
}
