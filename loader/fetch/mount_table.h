/*
 * mount_table.h - where other file systems begin below the root folder of all, and which of them may be read without a thread that
 * waits.
 *
 * To ask a file for its file system is too late: opening it on FUSE or NFS, or even the folder that such a file system is mounted
 * on, may wait for a server, whether RESOLVE_CACHED is set or not.  So the kernel's own list says it before anything is touched, and
 * a path is then opened from the folder where its local file system begins, with RESOLVE_NO_XDEV: what is not as the list says
 * comes back as EXDEV, and never waits.  10 KB of a tmpfs take 4.8 us so, and 14.8 where a thread reads them.
 *
 * The collector's thread only.
 */
#ifndef CROPRING_MOUNT_TABLE_H
#define CROPRING_MOUNT_TABLE_H

#include <stdbool.h>

#include "loader/fetch/file_open.h"

struct mount_table;

/* -errno when the kernel does not tell: no /proc, or one that may not be read. */
int mount_table_open(struct mount_table **table);
void mount_table_close(struct mount_table *table);

/*
 * True: the list is that of now, as a system call of 0.2 us tells.  False: something was mounted or unmounted since, and the list
 * cannot be renewed while somebody may use a folder that mount_table_find() gave out.
 */
bool mount_table_renew(struct mount_table *table, bool in_use);

/* Nobody uses a folder that mount_table_find() gave out, and for a while nobody may: they are closed, for they keep mounts busy. */
void mount_table_rest(struct mount_table *table);

/*
 * What `path`, relative to the root folder root_fd, lies on.  FILE_HOME_OTHER: on what the root folder itself lies on, or a link of
 * it leads on.  FILE_HOME_LOCAL: it is to be opened as *rest from *folder_fd, which stays open until the list is renewed or rests.
 * FILE_HOME_FUSE: only a thread may open it.
 */
enum file_home mount_table_find(struct mount_table *table, int root_fd, const char *path, int *folder_fd, const char **rest);

#endif
