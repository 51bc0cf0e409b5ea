/* info_command.h - `cropring info`: an image, a pack or another source in, what is in it and what a crop of it costs out. */
#ifndef CROPRING_INFO_COMMAND_H
#define CROPRING_INFO_COMMAND_H

#include "loader/shell/info_flags.h"

/* Returns the process's exit code. */
int info_command(const struct info_flags *flags);

#endif
