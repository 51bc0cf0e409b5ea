/*
 * request_view.h - part of stage 1 of 5: the bytes of a request in, its rows out.
 *
 * A request is hostile until request_view_open() has looked at every number that leads somewhere.
 */
#ifndef CROPRING_REQUEST_VIEW_H
#define CROPRING_REQUEST_VIEW_H

#include <stddef.h>

#include "base/err.h"
#include "loader/item_status.h"
#include "loader/plan/crop.h"
#include "loader/plan/request.h"

/* A request in memory that stays as it is. */
struct request_view {
	const struct request_header *header;
	const struct request_row *rows;
	const char *text;
};

/* -EINVAL: it is not shaped like a request, and why.  `bytes` begin at a multiple of 8. */
int request_view_open(struct request_view *view, const void *bytes, size_t byte_count, uint32_t batch_size, struct err *err);

/* The row's path, or NULL: `sample` says which file. */
const char *request_view_path(const struct request_view *view, uint32_t row);

/*
 * What the row asks for; where it leaves that to --crop, its own box or window is still the one.  ITEM_OK, or ITEM_BAD_BOX and why,
 * when the window is none.  Whether a box lies in its picture shows later.
 */
enum item_status request_view_ask(const struct request_view *view, uint32_t row, const struct crop_spec *spec, struct crop_ask *ask,
                                  const char **reason);

#endif
