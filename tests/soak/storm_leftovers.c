/* storm_leftovers.c - looking for what a ring might leave behind. */
#include "tests/soak/storm_leftovers.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "shmring/wire.h"

void leftovers_isolate(void)
{
	if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		(void)mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL); /* if not, others are counted as well */
}

uint32_t leftovers_shm_entries(void)
{
	DIR *folder = opendir("/dev/shm");
	struct dirent *entry;
	uint32_t count = 0;

	if (!folder)
		return 0;
	while ((entry = readdir(folder)) != NULL)
		count += strncmp(entry->d_name, "cropring-", strlen("cropring-")) == 0;
	closedir(folder);
	return count;
}

uint32_t leftovers_sockets(const char *name)
{
	char prefix[64], wanted[128], line[512];
	FILE *table = fopen("/proc/net/unix", "r");
	uint32_t count = 0;

	wire_name_prefix(prefix, sizeof prefix);
	snprintf(wanted, sizeof wanted, "%s%s\n", prefix, name);
	while (table && fgets(line, sizeof line, table))
		count += strstr(line, wanted) != NULL;
	if (table)
		fclose(table);
	return count;
}

uint64_t leftovers_shmem_kb(void)
{
	FILE *table = fopen("/proc/meminfo", "r");
	unsigned long long kb = 0;
	char line[128];

	while (table && fgets(line, sizeof line, table) && sscanf(line, "Shmem: %llu", &kb) != 1)
		;
	if (table)
		fclose(table);
	return kb;
}
