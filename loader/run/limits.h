/* limits.h - what this machine, its cgroup and its affinity mask leave us: threads, memory, descriptors. */
#ifndef CROPRING_LIMITS_H
#define CROPRING_LIMITS_H

#include <stdint.h>

#include "base/err.h"

/* CPUs this process may use: the affinity mask, cut to the cgroup's CPU quota (v1 and v2), rounded up; at least 1. */
uint32_t limits_cpu_count(void);

/* Bytes that can still be allocated: MemAvailable, cut to what each memory cgroup above us leaves. */
uint64_t limits_memory_bytes(void);

/* -ENOMEM with need, have and remedy when `need_bytes` is over 80 % of limits_memory_bytes(). */
int limits_check_memory(uint64_t need_bytes, struct err *err);

/* As many files may be open as RLIMIT_NOFILE's hard limit has it: packs can have more shards than the usual 1024. */
void limits_raise_open_files(void);

/* How many files may be open at once for fetch: `wanted`, cut to a quarter of RLIMIT_NOFILE (raised to its hard limit first). */
uint32_t limits_open_files(uint32_t wanted);

/* Restricts the process to CPUs such as "0-3,8"; -EINVAL with a sentence. */
int limits_pin_cpus(const char *list, struct err *err);

/*
 * Makes the kernel end this process before others when memory runs out: a worker can be started again, a trainer loses its work.
 * Best effort: raising one's own score needs no permission, but /proc may be missing.
 */
void limits_raise_oom_score(void);

#endif
