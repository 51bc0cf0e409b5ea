/* weights_file.h - part of stage 1 of 5: a .npy file in, its numbers out. */
#ifndef CROPRING_WEIGHTS_FILE_H
#define CROPRING_WEIGHTS_FILE_H

#include <stdint.h>

#include "base/err.h"

/*
 * The numbers of the file, which must be `expected` of them; the caller frees *values.  -EINVAL when it is no such file or has
 * another count, -ENOMEM, or why it cannot be read.
 */
int weights_file_read(const char *path, uint64_t expected, double **values, struct err *err);

#endif
