/*
 * item_status.h - what became of one sample; the byte that readers see in `batch.status`.
 *
 * One bad file is data, not a failure of the stream: every stage reports one of these instead of an errno.
 * The numbers are part of the public interface (Python: cropring.Status) and never change their meaning.
 */
#ifndef CROPRING_ITEM_STATUS_H
#define CROPRING_ITEM_STATUS_H

#include <stdint.h>

enum item_status {
	ITEM_OK = 0,
	ITEM_MISSING = 1,      /* no such file: it vanished after the scan */
	ITEM_UNREADABLE = 2,   /* permission denied, I/O error, a directory */
	ITEM_EMPTY = 3,        /* 0 bytes */
	ITEM_TOO_LARGE = 4,    /* over --max-file-bytes or --max-pixels */
	ITEM_NOT_AN_IMAGE = 5, /* starts like no format that is read here */
	ITEM_TRUNCATED = 6,    /* the data ends before the pixels do */
	ITEM_CORRUPT = 7,      /* the codec met impossible data */
	ITEM_UNSUPPORTED = 8,  /* a valid file of a kind that is not read here */
	ITEM_TIMEOUT = 9,      /* not read, or not decoded, within --item-timeout-ms */
	ITEM_CRASHED = 10,     /* not read: it killed the decoder, and with it the worker, before */
	ITEM_BAD_BOX = 11,     /* the box that was asked for does not lie in the picture */
	ITEM_MISMATCH = 12,    /* image and target differ in size */
	ITEM_STATUS_COUNT = 13
};

/*
 * batch.status is one of the above, with flags on top: the reason why the planned sample failed stays readable
 * when another sample took its place.
 */
#define ITEM_FLAG_PADDING     0x40u /* --tail pad: this row repeats a sample from the start of the epoch */
#define ITEM_FLAG_SUBSTITUTED 0x80u /* --on-error substitute: the pixels are those of sample `index` */
#define ITEM_REASON_MASK      0x3fu

/* "missing", "unreadable", ...: for logs and for the names of the counters.  Unknown values give "unknown". */
const char *item_status_name(enum item_status status);

#endif
