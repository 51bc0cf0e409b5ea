/*
 * whole_file.h - a file that appears in a folder under its name when it is whole, and not before.
 *
 * Until then it has no name, and nothing is left of it, whatever ends the process.  On file systems that cannot do that (NFS, FUSE) it
 * lies there as .cropring-....part, which SIGKILL leaves there; elsewhere it has that name for two system calls when it replaces a file.
 * One thread per file.
 */
#ifndef CROPRING_WHOLE_FILE_H
#define CROPRING_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct whole_file {
	int fd, folder_fd;
	char part[32]; /* its name until it is whole; "": it has none */
};

/* folder_fd stays the caller's, and open until the file is finished or abandoned; O_PATH is enough. */
int whole_file_open(struct whole_file *file, int folder_fd);

int whole_file_write(struct whole_file *file, const void *data, size_t byte_count);

/* Gives it a name of the folder, and closes it.  -EEXIST: the name is taken, and is not to be replaced.  After an error it is abandoned. */
int whole_file_finish(struct whole_file *file, const char *name, bool replace);

void whole_file_abandon(struct whole_file *file);

#endif
