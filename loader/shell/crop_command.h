/* crop_command.h - `cropring crop`: windows of images to a contact sheet or an array, without Python. */
#ifndef CROPRING_CROP_COMMAND_H
#define CROPRING_CROP_COMMAND_H

#include "loader/shell/crop_flags.h"

/* Runs to the end of the paths, or what ends it before.  Returns the exit code. */
int crop_command(const struct crop_flags *flags);

#endif
