/* test_request_view.c - a request's rows come out as they were written; what leads out of it, or asks for no crop, is refused. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/plan/request_view.h"

enum { ROWS = 3, TEXT_BYTES = 16 /* a multiple of 8, so that nothing lies behind it */ };

/* As a reader writes it. */
struct written {
	struct request_header header;
	struct request_row row[ROWS];
	char text[TEXT_BYTES];
};

static struct written written(void)
{
	struct written request = {
		.header = {.magic = REQUEST_MAGIC, .row_count = ROWS, .epoch = 7, .first_position = 9, .text_bytes = TEXT_BYTES},
		.row = {{.key = 5, .path_at = 0, .rule = CROP_WINDOW, .window = {0, 0.5f, 1}},
	                {.path_at = 6, .rule = CROP_BOX, .box = {1, -2, INT32_MAX, INT32_MIN}},
	                {.path_at = REQUEST_NO_PATH, .rule = REQUEST_USUAL_RULE, .window = {0.25f, 0, 0}}},
	};

	memcpy(request.text, "a.jpg\0b.png", 12);
	return request;
}

static void refuses(const struct written *request, size_t byte_count, const char *word)
{
	struct request_view view;
	struct err err;

	assert_int_equal(request_view_open(&view, request, byte_count, ROWS, &err), -EINVAL);
	if (!strstr(err.text, word))
		fail_msg("%s", err.text);
}

static void rows_come_out_as_they_were_written(void **state)
{
	const struct written request = written();
	const struct crop_spec spec = {.rule = CROP_WINDOW};
	struct request_view view;
	struct crop_ask ask;
	const char *reason;

	(void)state;
	assert_int_equal(request_view_open(&view, &request, sizeof request, ROWS, NULL), 0);
	assert_string_equal(request_view_path(&view, 0), "a.jpg");
	assert_string_equal(request_view_path(&view, 1), "b.png");
	assert_null(request_view_path(&view, 2));

	assert_int_equal(request_view_ask(&view, 0, &spec, &ask, &reason), ITEM_OK);
	assert_int_equal(ask.rule, CROP_WINDOW);
	assert_int_equal(ask.epoch, 7);
	assert_int_equal(ask.key, 5);
	assert_true(ask.window.x == 0 && ask.window.y == 0.5f && ask.window.scale == 1);
	assert_int_equal(request_view_ask(&view, 1, &spec, &ask, &reason), ITEM_OK); /* that it fits shows later */
	assert_int_equal(ask.rule, CROP_BOX);
	assert_int_equal(ask.box.y, -2);
	assert_int_equal(ask.box.height, INT32_MIN);
	assert_int_equal(request_view_ask(&view, 2, &spec, &ask, &reason), ITEM_OK);
	assert_int_equal(ask.rule, CROP_WINDOW);
	assert_true(ask.window.x == 0.25f);
}

static void a_window_beyond_the_picture_is_that_rows_fault_alone(void **state)
{
	static const float odd[] = {NAN, INFINITY, -INFINITY, -0.001f, 1.001f};
	const struct crop_spec spec = {.rule = CROP_RESIZE};

	(void)state;
	for (size_t i = 0; i < 3 * sizeof odd / sizeof odd[0]; i++) {
		struct written request = written();
		struct request_view view;
		struct crop_ask ask;
		const char *reason = NULL;

		request.row[0].window[i % 3] = odd[i / 3];
		assert_int_equal(request_view_open(&view, &request, sizeof request, ROWS, NULL), 0);
		assert_int_equal(request_view_ask(&view, 0, &spec, &ask, &reason), ITEM_BAD_BOX);
		assert_non_null(reason);
		assert_int_equal(request_view_ask(&view, 1, &spec, &ask, &reason), ITEM_OK);
	}
}

static void a_request_without_rows_is_one(void **state)
{
	struct written request = written();
	struct request_view view;

	(void)state;
	request.header.row_count = 0;
	request.header.text_bytes = 0;
	assert_int_equal(request_view_open(&view, &request, sizeof request.header, ROWS, NULL), 0);
}

static void what_is_not_shaped_like_a_request_is_refused(void **state)
{
	struct written request = written();

	(void)state;
	for (size_t cut = 0; cut < sizeof request; cut++)
		refuses(&request, cut, "bytes");
	request.header.magic[7]++;
	refuses(&request, sizeof request, "begin");
	request = written();
	request.header.row_count = ROWS + 1;
	refuses(&request, sizeof request, "--batch-size 3");
	request.header.row_count = 2;
	refuses(&request, sizeof request, "2 rows");
	request = written();
	request.header.text_bytes = (uint64_t)-48; /* the rows end so far beyond the request */
	refuses(&request, sizeof request.header + 2 * sizeof request.row[0], "bytes of text");
	request = written();
	request.header.text_bytes = UINT64_MAX;
	refuses(&request, sizeof request, "bytes of text");
	request = written();
	request.text[TEXT_BYTES - 1] = 'g';
	refuses(&request, sizeof request, "end");
	request = written();
	request.row[2].path_at = TEXT_BYTES;
	refuses(&request, sizeof request, "row 2");
	request = written();
	request.row[1].rule = CROP_WINDOW + 1;
	refuses(&request, sizeof request, "rule 6");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_come_out_as_they_were_written),
		cmocka_unit_test(a_window_beyond_the_picture_is_that_rows_fault_alone),
		cmocka_unit_test(a_request_without_rows_is_one),
		cmocka_unit_test(what_is_not_shaped_like_a_request_is_refused),
	};

	return cmocka_run_group_tests_name("request_view", tests, NULL, NULL);
}
