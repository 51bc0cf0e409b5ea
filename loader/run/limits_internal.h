/* limits_internal.h - limits read below another root folder, so that tests can make up a machine. */
#ifndef CROPRING_LIMITS_INTERNAL_H
#define CROPRING_LIMITS_INTERNAL_H

#include "loader/run/limits.h"

/* `cpus`, cut to the CPU quota of each cgroup from ours upwards, rounded up; at least 1.  `root` is "" for this machine. */
uint32_t limits_cpu_count_at(const char *root, uint32_t cpus);

/* UINT64_MAX when nothing tells. */
uint64_t limits_memory_bytes_at(const char *root);

#endif
