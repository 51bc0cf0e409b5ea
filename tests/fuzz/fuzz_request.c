/*
 * fuzz_request.c - hostile requests: whatever they hold, paths end within them, windows are windows, and the boxes that are chosen for
 * them lie in their pictures, or it is said that they do not.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/plan/request_view.h"

enum { BATCH_SIZE = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static void check(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void check_box(const struct crop_spec *spec, const struct crop_ask *ask, uint32_t width_px, uint32_t height_px)
{
	struct crop_view view;
	bool chosen = crop_choose(spec, ask, width_px, height_px, &view);

	check(chosen || ask->rule == CROP_BOX, "a rule that refuses a picture");
	if (!chosen)
		return;
	check(view.box.x >= 0 && view.box.y >= 0 && view.box.width >= 1 && view.box.height >= 1, "an empty box");
	check((int64_t)view.box.x + view.box.width <= width_px && (int64_t)view.box.y + view.box.height <= height_px,
	      "a box beyond the picture");
}

static void check_row(const struct request_view *view, uint32_t row)
{
	static const uint32_t sides_px[] = {1, 2, 3, 640, 65500, INT32_MAX};
	const char *path = request_view_path(view, row), *reason = NULL;
	struct crop_ask ask;

	check(!path || strlen(path) < view->header->text_bytes, "a path without an end");
	for (int rule = 0; rule <= CROP_WINDOW; rule++) { /* that of --crop */
		const struct crop_spec spec = {.rule = (enum crop_rule)rule,
		                               .out_width_px = 224,
		                               .out_height_px = 192,
		                               .scale_min = 0.08,
		                               .scale_max = 1,
		                               .ratio_min = 0.75,
		                               .ratio_max = 1.3333,
		                               .short_side_px = 256,
		                               .max_img_percent = 0.5f};

		if (request_view_ask(view, row, &spec, &ask, &reason) != ITEM_OK) {
			check(reason != NULL, "no reason");
			continue;
		}
		for (size_t i = 0; i < 36; i++)
			check_box(&spec, &ask, sides_px[i / 6], sides_px[i % 6]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	uint8_t *request = malloc(byte_count + 1); /* aligned, as requests are, and with its end watched */
	struct request_view view;
	struct err err = {.text = ""};

	if (!request)
		return 0;
	memcpy(request, data, byte_count);
	request = realloc(request, byte_count ? byte_count : 1);
	if (request_view_open(&view, request, byte_count, BATCH_SIZE, &err) == 0) {
		check(view.header->row_count <= BATCH_SIZE, "more rows than a batch has");
		for (uint32_t row = 0; row < view.header->row_count; row++)
			check_row(&view, row);
	} else {
		check(err.text[0] != '\0', "no sentence");
	}
	free(request);
	return 0;
}
