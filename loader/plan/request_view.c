/* request_view.c - part of stage 1 of 5: the bytes of a request in, its rows out, every number looked at.  Any thread. */
#include "loader/plan/request_view.h"

#include <errno.h>
#include <string.h>

static int check_row(const struct request_row *row, uint32_t number, uint64_t text_bytes, struct err *err)
{
	if (row->path_at != REQUEST_NO_PATH && row->path_at >= text_bytes)
		return err_fail(err, -EINVAL, "a request's row %u has its path at byte %u of a text of %llu", number, row->path_at,
		                (unsigned long long)text_bytes);
	if (row->rule != REQUEST_USUAL_RULE && row->rule > CROP_WINDOW)
		return err_fail(err, -EINVAL, "a request's row %u asks for crop rule %u, of which there are %d", number, row->rule,
		                CROP_WINDOW + 1);
	return 0;
}

int request_view_open(struct request_view *view, const void *bytes, size_t byte_count, uint32_t batch_size, struct err *err)
{
	const struct request_header *header = bytes;
	uint64_t rows_end;

	if (byte_count < sizeof *header || memcmp(header->magic, REQUEST_MAGIC, sizeof header->magic) != 0)
		return err_fail(err, -EINVAL, "a request of %zu bytes does not begin like one", byte_count);
	if (header->row_count > batch_size)
		return err_fail(err, -EINVAL, "a request asks for %u rows, more than --batch-size %u", header->row_count,
		                batch_size);
	rows_end = sizeof *header + (uint64_t)header->row_count * sizeof(struct request_row);
	if (rows_end > byte_count || header->text_bytes != byte_count - rows_end)
		return err_fail(err, -EINVAL, "a request of %zu bytes says that it has %u rows and %llu bytes of text", byte_count,
		                header->row_count, (unsigned long long)header->text_bytes);
	*view = (struct request_view){
		.header = header, .rows = (const struct request_row *)(header + 1), .text = (const char *)bytes + rows_end};
	if (header->text_bytes > 0 && view->text[header->text_bytes - 1] != '\0')
		return err_fail(err, -EINVAL, "the last path of a request has no end");
	for (uint32_t row = 0; row < header->row_count; row++) {
		int rc = check_row(&view->rows[row], row, header->text_bytes, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

const char *request_view_path(const struct request_view *view, uint32_t row)
{
	uint32_t at = view->rows[row].path_at;

	return at == REQUEST_NO_PATH ? NULL : view->text + at;
}

static bool is_share(float value)
{
	return value >= 0 && value <= 1; /* and so no NaN */
}

enum item_status request_view_ask(const struct request_view *view, uint32_t row, const struct crop_spec *spec, struct crop_ask *ask,
                                  const char **reason)
{
	const struct request_row *asked = &view->rows[row];

	*ask = (struct crop_ask){.rule = asked->rule == REQUEST_USUAL_RULE ? spec->rule : (enum crop_rule)asked->rule,
	                         .epoch = view->header->epoch,
	                         .key = asked->key};
	if (ask->rule == CROP_BOX)
		ask->box = (struct box){asked->box[0], asked->box[1], asked->box[2], asked->box[3]};
	if (ask->rule != CROP_WINDOW)
		return ITEM_OK;
	ask->window = (struct crop_window){asked->window[0], asked->window[1], asked->window[2]};
	if (is_share(ask->window.x) && is_share(ask->window.y) && is_share(ask->window.scale))
		return ITEM_OK;
	*reason = "x, y and scale of a window are numbers from 0 to 1";
	return ITEM_BAD_BOX;
}
