/* serve.h - `cropring serve`: one run of the worker from options to exit code. */
#ifndef CROPRING_SERVE_H
#define CROPRING_SERVE_H

#include "loader/options.h"

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_BAD_DATA = 3, EXIT_SIGNAL = 128 /* + number */ };

/* Runs to the end of the stream, a signal, or the readers' departure.  Returns the exit code. */
int serve(const struct options *options);

#endif
