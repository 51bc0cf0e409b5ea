/*
 * limits.c - /proc, the cgroup tree and the affinity mask in; how many threads, bytes and files we may use out, and who goes first
 * when memory runs out.
 *
 * One thread, before the work starts.  What cannot be read limits nothing.
 * Formats: Linux, Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, scheduler/sched-bwc.rst; proc(5), cgroups(7).
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "loader/run/limits_internal.h"

enum {
	MASK_CPUS = 8192, /* CPU_SETSIZE, 1024, is less than some machines have */
	OOM_SCORE_RAISE = 300,
	OOM_SCORE_MAX = 1000,
};

/* -------------------------------------------------------------- reading */

/* The file's first bytes as text; false when it cannot be read. */
static bool read_file(const char *folder, const char *name, char *text, size_t text_bytes)
{
	char path[PATH_MAX];
	size_t byte_count;
	FILE *file;

	if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
		return false;
	file = fopen(path, "re");
	if (!file)
		return false;
	byte_count = fread(text, 1, text_bytes - 1, file);
	text[byte_count] = '\0';
	fclose(file);
	return byte_count > 0;
}

/* A number without sign, followed by white space or the end; "max" and anything else is false. */
static bool parse_number(const char *text, uint64_t *value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return errno == 0 && (!*end || strchr(" \t\n", *end));
}

static bool read_number(const char *folder, const char *name, uint64_t *value)
{
	char text[64];

	return read_file(folder, name, text, sizeof text) && parse_number(text, value);
}

/* The number after `key` at the start of a line, or 0. */
static uint64_t number_after(const char *text, const char *key)
{
	size_t length = strlen(key);
	uint64_t value;

	for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (!strncmp(line, key, length) && parse_number(line + length + strspn(line + length, " \t"), &value))
			return value;
	return 0;
}

/* -------------------------------------------------------------- the cgroup tree */

typedef void visit_group(const char *folder, void *context);

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape_octal(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		bool is_escape = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
		                 from[3] >= '0' && from[3] <= '7';

		*to = is_escape ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
		from += is_escape ? 4 : 1;
	}
	*to = '\0';
}

static bool is_in_list(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (;;) {
		size_t item_length = strcspn(list, ",");

		if (item_length == length && !memcmp(list, word, length))
			return true;
		if (!list[item_length])
			return false;
		list += item_length + 1;
	}
}

/*
 * Our group's path in the hierarchy that has `controller` ("" for v2), from the lines `id:controllers:path` of /proc/self/cgroup.
 */
static bool find_group(const char *root, const char *controller, char *path, size_t path_bytes)
{
	char folder[PATH_MAX], line[PATH_MAX + 256];
	bool found = false;
	FILE *file;

	snprintf(folder, sizeof folder, "%s/proc/self/cgroup", root);
	file = fopen(folder, "re");
	while (file && !found && fgets(line, sizeof line, file)) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!group)
			continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		found = is_in_list(controllers + 1, controller) && snprintf(path, path_bytes, "%s", group) < (int)path_bytes;
	}
	if (file)
		fclose(file);
	return found;
}

/* Visits the folder of our group and each one above it up to the mount point. */
static void walk_up(const char *root, const char *mount_point, const char *mounted_group, const char *group, visit_group *visit,
                    void *context)
{
	char folder[PATH_MAX];
	size_t mounted_length = strcmp(mounted_group, "/") != 0 ? strlen(mounted_group) : 0;
	size_t top = strlen(root) + strlen(mount_point);

	/* What is mounted is our group's ancestor, or we are in a container that sees its own group as the mount point. */
	if (strncmp(group, mounted_group, mounted_length) != 0 || (group[mounted_length] && group[mounted_length] != '/'))
		group = "";
	else
		group += mounted_length;
	if (snprintf(folder, sizeof folder, "%s%s%s", root, mount_point, group) >= (int)sizeof folder)
		return;
	for (;;) {
		char *slash;

		visit(folder, context);
		slash = strrchr(folder + top, '/');
		if (!slash)
			return;
		*slash = '\0';
	}
}

/* Fields of a line of mountinfo: id, parent, device, root, mount point, options, ..., "-", type, source, super options. */
static void visit_mount(const char *root, char *line, visit_group *visit, void *context)
{
	static const char *const controllers[] = {"cpu", "memory"};
	char *field[5], *rest = line, *tail = strstr(line, " - "), *type, *options, *cursor;
	char group[PATH_MAX];

	if (!tail)
		return;
	*tail = '\0';
	for (size_t i = 0; i < 5; i++) {
		field[i] = strsep(&rest, " ");
		if (!field[i])
			return;
	}
	cursor = tail + 3;
	type = strsep(&cursor, " ");
	(void)strsep(&cursor, " "); /* the source says nothing */
	options = strsep(&cursor, " \n");
	unescape_octal(field[3]);
	unescape_octal(field[4]);
	if (strcmp(type, "cgroup2") == 0 && find_group(root, "", group, sizeof group))
		walk_up(root, field[4], field[3], group, visit, context);
	for (size_t i = 0; i < 2 && options && strcmp(type, "cgroup") == 0; i++)
		if (is_in_list(options, controllers[i]) && find_group(root, controllers[i], group, sizeof group))
			walk_up(root, field[4], field[3], group, visit, context);
}

static void visit_groups(const char *root, visit_group *visit, void *context)
{
	char path[PATH_MAX], line[2 * PATH_MAX];
	FILE *file;

	snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file))
		visit_mount(root, line, visit, context);
	if (file)
		fclose(file);
}

/* -------------------------------------------------------------- CPUs */

static void cut_to_quota(const char *folder, void *context)
{
	uint32_t *cpus = context;
	uint64_t quota_us, period_us;
	char text[64];
	const char *second;

	if (read_file(folder, "cpu.max", text, sizeof text)) { /* v2: "max 100000" or "50000 100000" */
		second = strchr(text, ' ');
		if (!second || !parse_number(text, &quota_us) || !parse_number(second + 1, &period_us))
			return;
	} else if (!read_number(folder, "cpu.cfs_quota_us", &quota_us) || !read_number(folder, "cpu.cfs_period_us", &period_us)) {
		return; /* v1 without a limit says -1 */
	}
	if (period_us == 0 || quota_us == 0)
		return;
	quota_us = quota_us / period_us + (quota_us % period_us != 0);
	if (quota_us < *cpus)
		*cpus = (uint32_t)quota_us;
}

uint32_t limits_cpu_count_at(const char *root, uint32_t cpus)
{
	visit_groups(root, cut_to_quota, &cpus);
	return cpus > 0 ? cpus : 1;
}

uint32_t limits_cpu_count(void)
{
	cpu_set_t *mask = CPU_ALLOC(MASK_CPUS);
	size_t mask_bytes = CPU_ALLOC_SIZE(MASK_CPUS);
	int cpus = 0;

	if (mask && sched_getaffinity(0, mask_bytes, mask) == 0)
		cpus = CPU_COUNT_S(mask_bytes, mask);
	CPU_FREE(mask);
	return limits_cpu_count_at("", cpus > 0 ? (uint32_t)cpus : 1);
}

/* "0-3,8" into a mask; false when that is not what the text is. */
static bool parse_cpus(const char *list, cpu_set_t *mask, size_t mask_bytes)
{
	CPU_ZERO_S(mask_bytes, mask);
	for (;;) {
		unsigned long first, last;
		char *end;

		if (*list < '0' || *list > '9')
			return false;
		first = last = strtoul(list, &end, 10);
		if (*end == '-' && end[1] >= '0' && end[1] <= '9')
			last = strtoul(end + 1, &end, 10);
		if (last < first || last >= MASK_CPUS)
			return false;
		for (; first <= last; first++)
			CPU_SET_S(first, mask_bytes, mask);
		if (!*end)
			return true;
		if (*end != ',')
			return false;
		list = end + 1;
	}
}

static int first_cpu_not_in(const cpu_set_t *wanted, const cpu_set_t *mask, size_t mask_bytes)
{
	for (int cpu = 0; cpu < MASK_CPUS; cpu++)
		if (CPU_ISSET_S((size_t)cpu, mask_bytes, wanted) && !CPU_ISSET_S((size_t)cpu, mask_bytes, mask))
			return cpu;
	return -1;
}

int limits_pin_cpus(const char *list, struct err *err)
{
	size_t mask_bytes = CPU_ALLOC_SIZE(MASK_CPUS);
	cpu_set_t *before = CPU_ALLOC(MASK_CPUS), *wanted = CPU_ALLOC(MASK_CPUS), *after = CPU_ALLOC(MASK_CPUS);
	int code = 0, missing = -1;

	if (!before || !wanted || !after) {
		code = err_fail(err, -ENOMEM, "--cpus %.100s: memory is short", list);
	} else if (!parse_cpus(list, wanted, mask_bytes)) {
		code = err_fail(err, -EINVAL, "--cpus: '%.100s' is not a list of CPU numbers and ranges such as 0-3,8", list);
	} else if (sched_getaffinity(0, mask_bytes, before) < 0 || sched_setaffinity(0, mask_bytes, wanted) < 0 ||
	           sched_getaffinity(0, mask_bytes, after) < 0) {
		code = err_fail(err, -EINVAL, "--cpus %.100s: none of these CPUs is open to this process: %s", list,
		                strerror(errno));
	} else {
		/* The kernel leaves out what the cpuset forbids or the machine has not, without a word. */
		missing = first_cpu_not_in(wanted, after, mask_bytes);
		if (missing >= 0) {
			(void)sched_setaffinity(0, mask_bytes, before); /* it was ours a moment ago */
			code = err_fail(err, -EINVAL, "--cpus %.100s: CPU %d is not open to this process", list, missing);
		}
	}
	CPU_FREE(before);
	CPU_FREE(wanted);
	CPU_FREE(after);
	return code;
}

/* -------------------------------------------------------------- memory and files */

/* What a group leaves: its limit less its use, where page cache, which the kernel drops when asked for memory, is no use. */
static void cut_to_memory(const char *folder, void *context)
{
	uint64_t *left_bytes = context, limit_bytes, used_bytes, cache_bytes = 0;
	char statistics[8192];
	bool has_statistics = read_file(folder, "memory.stat", statistics, sizeof statistics);

	if (read_number(folder, "memory.max", &limit_bytes) && read_number(folder, "memory.current", &used_bytes)) {
		if (has_statistics)
			cache_bytes = number_after(statistics, "inactive_file ") + number_after(statistics, "active_file ");
	} else if (read_number(folder, "memory.limit_in_bytes", &limit_bytes) &&
	           read_number(folder, "memory.usage_in_bytes", &used_bytes)) {
		if (has_statistics)
			cache_bytes =
				number_after(statistics, "total_inactive_file ") + number_after(statistics, "total_active_file ");
	} else {
		return;
	}
	used_bytes -= cache_bytes < used_bytes ? cache_bytes : used_bytes;
	limit_bytes -= used_bytes < limit_bytes ? used_bytes : limit_bytes;
	if (limit_bytes < *left_bytes)
		*left_bytes = limit_bytes;
}

uint64_t limits_memory_bytes_at(const char *root)
{
	uint64_t left_bytes = UINT64_MAX, available_kib;
	char folder[PATH_MAX], text[8192];

	snprintf(folder, sizeof folder, "%s/proc", root);
	if (read_file(folder, "meminfo", text, sizeof text)) {
		available_kib = number_after(text, "MemAvailable:");
		if (available_kib > 0 && available_kib <= UINT64_MAX / 1024)
			left_bytes = available_kib * 1024;
	}
	visit_groups(root, cut_to_memory, &left_bytes);
	return left_bytes;
}

uint64_t limits_memory_bytes(void)
{
	return limits_memory_bytes_at("");
}

int limits_check_memory(uint64_t need_bytes, struct err *err)
{
	uint64_t have_bytes = limits_memory_bytes();

	if (need_bytes <= have_bytes / 5 * 4)
		return 0;
	return err_fail(
		err, -ENOMEM,
		"%.1f MB of memory are needed, over 80 %% of the %.1f MB that are left; lower --slots, --batch-size or --size, or "
		"raise the container's memory limit",
		(double)need_bytes / 1e6, (double)have_bytes / 1e6);
}

void limits_raise_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* else it stays as it is: whoever opens the one too many says so */
}

uint32_t limits_open_files(uint32_t wanted)
{
	struct rlimit limit;

	limits_raise_open_files();
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return wanted;
	if (limit.rlim_cur / 4 < wanted)
		wanted = (uint32_t)(limit.rlim_cur / 4);
	return wanted > 0 ? wanted : 1;
}

void limits_raise_oom_score(void)
{
	char text[32];
	long score;
	FILE *file;

	if (!read_file("/proc/self", "oom_score_adj", text, sizeof text))
		return;
	score = strtol(text, NULL, 10) + OOM_SCORE_RAISE; /* on top of what a container manager gave trainer and worker alike */
	file = fopen("/proc/self/oom_score_adj", "we");
	if (!file)
		return;
	fprintf(file, "%ld", score < OOM_SCORE_MAX ? score : OOM_SCORE_MAX);
	fclose(file);
}
