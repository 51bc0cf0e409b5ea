/* unpack_command.h - `cropring unpack`: a pack in, ordinary files out. */
#ifndef CROPRING_UNPACK_COMMAND_H
#define CROPRING_UNPACK_COMMAND_H

#include "loader/shell/unpack_flags.h"

/* Returns the process's exit code. */
int unpack_command(const struct unpack_flags *flags);

#endif
