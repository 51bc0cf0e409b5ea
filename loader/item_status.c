/* item_status.c - the names of the item states. */
#include "loader/item_status.h"

static const char *const names[ITEM_STATUS_COUNT] = {
	[ITEM_OK] = "ok",
	[ITEM_MISSING] = "missing",
	[ITEM_UNREADABLE] = "unreadable",
	[ITEM_EMPTY] = "empty",
	[ITEM_TOO_LARGE] = "too_large",
	[ITEM_NOT_AN_IMAGE] = "not_an_image",
	[ITEM_TRUNCATED] = "truncated",
	[ITEM_CORRUPT] = "corrupt",
	[ITEM_UNSUPPORTED] = "unsupported",
	[ITEM_TIMEOUT] = "timeout",
	[ITEM_CRASHED] = "crashed",
	[ITEM_BAD_BOX] = "bad_box",
	[ITEM_MISMATCH] = "mismatch",
};

const char *item_status_name(enum item_status status)
{
	return (unsigned)status < ITEM_STATUS_COUNT ? names[status] : "unknown";
}
