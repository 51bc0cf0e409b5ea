/* crop_command.h - `cropring crop`: windows of images to a contact sheet or an array, without Python. */
#ifndef CROPRING_CROP_COMMAND_H
#define CROPRING_CROP_COMMAND_H

/* argv[0] is what the command is called in messages.  Returns the exit code. */
int crop_command(int argc, char **argv);

#endif
