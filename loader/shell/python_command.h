/* python_command.h - the commands that are Python programs: top, plot, sheet. */
#ifndef CROPRING_PYTHON_COMMAND_H
#define CROPRING_PYTHON_COMMAND_H

/* Becomes Python with these words, the command's name first; returns the process's exit code if there is none. */
int python_command(int argc, char **argv);

#endif
