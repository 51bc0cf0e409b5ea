/* pack_command.h - `cropring pack`. */
#ifndef CROPRING_PACK_COMMAND_H
#define CROPRING_PACK_COMMAND_H

#include "loader/shell/pack_flags.h"

/* Returns the exit code; --help has them. */
int pack_command(const struct pack_flags *flags);

#endif
