/* list_command.h - `cropring list`: nothing in, a table or a JSON array of the rings that run now out, on standard output. */
#ifndef CROPRING_LIST_COMMAND_H
#define CROPRING_LIST_COMMAND_H

#include <stdbool.h>

/* Returns the process's exit code. */
int list_command(bool json);

#endif
