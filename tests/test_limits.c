/* test_limits.c - quotas and memory limits in made-up /proc and cgroup trees, and this process's own CPUs and files. */
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "loader/run/limits_internal.h"
#include "tests/seed.h"
#include "tests/tree_fixture.h"

enum { PLENTY = 64 }; /* CPUs in the affinity mask */

static const uint64_t MIB = 1 << 20;

static char root[64];

static int make_root(void **state)
{
	(void)state;
	snprintf(root, sizeof root, "/tmp/test_limits.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	(void)state;
	return remove_folder(root);
}

/* Writes a file of the made-up machine, with the folders that lead to it. */
static void put(const char *path, const char *text)
{
	char full[512];
	FILE *file;

	snprintf(full, sizeof full, "%s%s", root, path);
	for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		(void)mkdir(full, 0700); /* most are there already */
	}
	file = fopen(full, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void put_v2(const char *group)
{
	char line[200];

	snprintf(line, sizeof line, "0::%s\n", group);
	put("/proc/self/cgroup", line);
	put("/proc/self/mountinfo", "24 30 0:22 / /proc rw,nosuid shared:12 - proc proc rw\n"
	                            "30 23 0:27 / /sys/fs/cgroup rw,nosuid,nodev shared:9 - cgroup2 cgroup2 rw,nsdelegate\n");
	put("/proc/meminfo", "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n");
}

static uint32_t cpus(void)
{
	return limits_cpu_count_at(root, PLENTY);
}

static uint64_t memory_mib(void)
{
	return limits_memory_bytes_at(root) / MIB;
}

/* ------------------------------------------------------------------ v2 */

static void a_machine_without_limits_gives_all_it_has(void **state)
{
	(void)state;
	put_v2("/user.slice/session.scope");
	put("/sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
	put("/sys/fs/cgroup/user.slice/memory.max", "max\n");
	put("/sys/fs/cgroup/user.slice/memory.current", "123456789\n");
	assert_int_equal(cpus(), PLENTY);
	assert_int_equal(memory_mib(), 8192);
}

static void a_v2_quota_is_rounded_up(void **state)
{
	static const struct {
		const char *quota;
		uint32_t cpus;
	} cases[] = {
		{"50000 100000\n", 1},    {"100000 100000\n", 1}, {"150000 100000\n", 2},
		{"250000 100000\n", 3},   {"100001 100000\n", 2}, {"1000 1000000\n", 1},
		{"6400000 100000\n", 64}, {"9900000 100000", 64}, {"400000000 1000000", 64},
	};

	(void)state;
	put_v2("/job");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		put("/sys/fs/cgroup/job/cpu.max", cases[i].quota);
		assert_int_equal(cpus(), cases[i].cpus);
	}
	assert_int_equal(limits_cpu_count_at(root, 2), 2); /* the affinity mask is the smaller one */
}

static void v2_memory_left_is_limit_less_use_without_page_cache(void **state)
{
	(void)state;
	put_v2("/job");
	put("/sys/fs/cgroup/job/memory.max", "1073741824\n");
	put("/sys/fs/cgroup/job/memory.current", "1063256064\n"); /* 1014 MiB */
	assert_int_equal(memory_mib(), 10);
	put("/sys/fs/cgroup/job/memory.stat",
	    "anon 104857600\nfile 954204160\nactive_file 209715200\ninactive_file 734003200\nslab 1\n");
	assert_int_equal(memory_mib(), 10 + 200 + 700);
	put("/sys/fs/cgroup/job/memory.stat", "active_file 99999999999999\n"); /* read a moment later */
	assert_int_equal(memory_mib(), 1024);
	put("/sys/fs/cgroup/job/memory.stat", "");
	put("/sys/fs/cgroup/job/memory.current", "2000000000\n"); /* the limit was lowered since */
	assert_int_equal(memory_mib(), 0);
}

static void the_tightest_group_above_counts(void **state)
{
	(void)state;
	put_v2("/kubepods/pod1/app");
	put("/sys/fs/cgroup/kubepods/pod1/app/cpu.max", "800000 100000\n");
	put("/sys/fs/cgroup/kubepods/pod1/cpu.max", "300000 100000\n");
	put("/sys/fs/cgroup/kubepods/cpu.max", "max 100000\n");
	put("/sys/fs/cgroup/kubepods/pod1/app/memory.max", "max\n");
	put("/sys/fs/cgroup/kubepods/pod1/app/memory.current", "0\n");
	put("/sys/fs/cgroup/kubepods/memory.max", "2147483648\n");
	put("/sys/fs/cgroup/kubepods/memory.current", "1073741824\n");
	assert_int_equal(cpus(), 3);
	assert_int_equal(memory_mib(), 1024);
	put("/sys/fs/cgroup/cpu.max", "200000 100000\n"); /* the mount point itself, as containers see it */
	assert_int_equal(cpus(), 2);
}

static void a_container_sees_its_group_as_the_mount_point(void **state)
{
	(void)state;
	put_v2("/");
	put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
	put("/sys/fs/cgroup/memory.max", "536870912\n");
	put("/sys/fs/cgroup/memory.current", "0\n");
	assert_int_equal(cpus(), 2);
	assert_int_equal(memory_mib(), 512);
	put("/proc/self/cgroup", "0::/../other\n"); /* moved out of the namespace's root */
	assert_int_equal(cpus(), 2);
	put("/proc/self/cgroup", "0::/docker/1234\n"); /* host path, but only the container's part is mounted */
	put("/proc/self/mountinfo", "30 23 0:27 /docker/1234 /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
	assert_int_equal(cpus(), 2);
	put("/proc/self/cgroup", "0::/docker/1234/inner\n");
	put("/sys/fs/cgroup/inner/cpu.max", "100000 100000\n");
	assert_int_equal(cpus(), 1);
	put("/proc/self/cgroup", "0::/docker/12345\n"); /* another group, whose name begins alike */
	put("/sys/fs/cgroup5/cpu.max", "100000 100000\n");
	assert_int_equal(cpus(), 2);
}

/* ------------------------------------------------------------------ v1 */

static void put_v1(const char *group)
{
	char lines[400];

	snprintf(lines, sizeof lines, "9:name=systemd:/\n5:memory:%s\n3:cpu,cpuacct:%s\n2:cpuset:/elsewhere\n", group, group);
	put("/proc/self/cgroup", lines);
	put("/proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
	                            "32 31 0:29 / /sys/fs/cgroup/cpu\\040acct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
	                            "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
	                            "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
	                            "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n");
	put("/proc/meminfo", "MemAvailable:    8388608 kB\n");
}

static void v1_limits_lie_in_a_tree_for_each_controller(void **state)
{
	(void)state;
	put_v1("/batch/job");
	put("/sys/fs/cgroup/cpu acct/batch/job/cpu.cfs_quota_us", "-1\n");
	put("/sys/fs/cgroup/cpu acct/batch/job/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/memory/batch/job/memory.limit_in_bytes", "9223372036854771712\n"); /* v1 for none */
	put("/sys/fs/cgroup/memory/batch/job/memory.usage_in_bytes", "52428800\n");
	assert_int_equal(cpus(), PLENTY);
	assert_int_equal(memory_mib(), 8192);

	put("/sys/fs/cgroup/cpu acct/batch/cpu.cfs_quota_us", "250000\n");
	put("/sys/fs/cgroup/cpu acct/batch/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/cpuset/batch/cpu.cfs_quota_us", "100000\n"); /* not the cpu controller's */
	put("/sys/fs/cgroup/cpuset/batch/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/memory/batch/memory.limit_in_bytes", "104857600\n");
	put("/sys/fs/cgroup/memory/batch/memory.usage_in_bytes", "94371840\n");
	put("/sys/fs/cgroup/memory/batch/memory.stat", "inactive_file 1\nactive_file 1\ntotal_inactive_file 20971520\n"
	                                               "total_active_file 10485760\n");
	assert_int_equal(cpus(), 3);
	assert_int_equal(memory_mib(), 10 + 20 + 10);
}

static void a_v1_quota_is_rounded_up(void **state)
{
	static const struct {
		const char *quota_us;
		uint32_t cpus;
	} cases[] = {{"50000\n", 1}, {"100000\n", 1}, {"100001\n", 2}, {"150000\n", 2}, {"-1\n", PLENTY}};

	(void)state;
	put_v1("/job");
	put("/sys/fs/cgroup/cpu acct/job/cpu.cfs_period_us", "100000\n");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		put("/sys/fs/cgroup/cpu acct/job/cpu.cfs_quota_us", cases[i].quota_us);
		assert_int_equal(cpus(), cases[i].cpus);
	}
}

static void v1_and_v2_side_by_side_both_count(void **state)
{
	(void)state;
	put("/proc/self/cgroup", "3:cpu:/a\n0::/b\n");
	put("/proc/self/mountinfo", "32 31 0:29 / /v1/cpu rw shared:1 master:2 - cgroup cgroup rw,cpu\n"
	                            "33 31 0:30 / /v1/unified rw - cgroup2 cgroup2 rw\n");
	put("/v1/cpu/a/cpu.cfs_quota_us", "400000\n");
	put("/v1/cpu/a/cpu.cfs_period_us", "100000\n");
	put("/v1/unified/b/memory.max", "1048576\n");
	put("/v1/unified/b/memory.current", "0\n");
	assert_int_equal(cpus(), 4);
	assert_int_equal(memory_mib(), 1);
}

/* ------------------------------------------------------------------ garbage */

static void what_cannot_be_read_limits_nothing(void **state)
{
	static const char *const garbage[] = {"",
	                                      "\n",
	                                      "max",
	                                      "-5 100000",
	                                      "5",
	                                      "x y\n",
	                                      "0 0\n",
	                                      "0 100000\n",
	                                      "100000 0\n",
	                                      "5 5x\n",
	                                      "99999999999999999999999 1\n",
	                                      " 5 5\n",
	                                      "5  5\n"};

	(void)state;
	assert_int_equal(cpus(), PLENTY); /* no /proc at all */
	assert_true(limits_memory_bytes_at(root) == UINT64_MAX);
	put_v2("/job");
	for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
		put("/sys/fs/cgroup/job/cpu.max", garbage[i]);
		put("/sys/fs/cgroup/job/memory.max", "17x\n");
		put("/sys/fs/cgroup/job/memory.current", garbage[i]);
		assert_int_equal(cpus(), PLENTY);
		assert_int_equal(memory_mib(), 8192);
	}
	put("/proc/meminfo", "MemAvailable: many kB\nMemAvailable");
	assert_true(limits_memory_bytes_at(root) == UINT64_MAX);
	put("/proc/meminfo", "MemAvailable: 18446744073709551615 kB\n");
	assert_true(limits_memory_bytes_at(root) == UINT64_MAX);
	assert_int_equal(limits_cpu_count_at(root, 0), 1);
}

static void any_text_in_proc_is_survived(void **state)
{
	static const char *const pieces[] = {" ",
	                                     "/",
	                                     ":",
	                                     "0",
	                                     "\n",
	                                     " - ",
	                                     "cgroup2",
	                                     "cgroup",
	                                     "cpu",
	                                     ",",
	                                     "memory",
	                                     "rw",
	                                     "\\040",
	                                     "\\",
	                                     "..",
	                                     "job",
	                                     "\\377",
	                                     "0::/job",
	                                     "- cgroup2 x y\n",
	                                     "30 23 0:27 / /sys/fs/cgroup rw"};
	uint64_t random_state = seed_of_test("any_text_in_proc_is_survived");

	(void)state;
	put_v2("/job");
	put("/sys/fs/cgroup/job/cpu.max", "200000 100000\n");
	for (size_t round = 0; round < 2000; round++) {
		char text[2][1024] = {"", ""};
		uint32_t count;

		for (size_t i = 0; i < 2; i++)
			for (uint64_t j = seed_between(&random_state, 0, 30); j > 0; j--)
				strcat(text[i], pieces[seed_next(&random_state) % (sizeof pieces / sizeof pieces[0])]);
		if (round % 4 > 0)
			put("/proc/self/mountinfo", text[0]);
		if (round % 4 > 1)
			put("/proc/self/cgroup", text[1]);
		count = cpus();
		assert_true(count == PLENTY || count == 2);
	}
}

static void very_long_lines_are_survived(void **state)
{
	char *text = malloc(40001);

	(void)state;
	put_v2("/job");
	put("/sys/fs/cgroup/job/cpu.max", "200000 100000\n");
	memset(text, 'a', 40000);
	text[40000] = '\0';
	memcpy(text, "0::/", 4);
	put("/proc/self/cgroup", text);
	assert_int_equal(cpus(), PLENTY);
	put("/proc/self/mountinfo", text);
	assert_int_equal(cpus(), PLENTY);
	free(text);
}

/* ------------------------------------------------------------------ this process */

static void this_machine_has_something(void **state)
{
	long online = sysconf(_SC_NPROCESSORS_CONF);

	(void)state;
	assert_in_range(limits_cpu_count(), 1, online);
	assert_true(limits_memory_bytes() > MIB);
}

static void memory_is_refused_above_80_percent(void **state)
{
	struct err err = {.text = ""};

	(void)state;
	assert_int_equal(limits_check_memory(1, &err), 0);
	assert_int_equal(limits_check_memory(limits_memory_bytes() / 2, &err), 0);
	assert_string_equal(err.text, "");
	assert_int_equal(limits_check_memory(UINT64_MAX, NULL), -ENOMEM);
	assert_int_equal(limits_check_memory(limits_memory_bytes() / 10 * 9, &err), -ENOMEM);
	assert_non_null(strstr(err.text, " MB of memory are needed, over 80 % of the "));
	assert_non_null(strstr(err.text, "--slots"));
}

/* limits_open_files(wanted) in a child with other limits; a hard limit cannot be raised again.  250: not raised to it. */
static int files_under(rlim_t soft, rlim_t hard, uint32_t wanted)
{
	struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
	pid_t child = fork();
	int status;

	if (child == 0) {
		uint32_t count;

		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			_exit(251);
		count = limits_open_files(wanted);
		_exit(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == hard ? (int)count : 250);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_quarter_of_the_files_is_ours(void **state)
{
	(void)state;
	assert_int_equal(files_under(40, 40, 64), 10);
	assert_int_equal(files_under(40, 40, 10), 10);
	assert_int_equal(files_under(40, 40, 3), 3);
	assert_int_equal(files_under(16, 80, 64), 20); /* raised to the hard limit first */
	assert_int_equal(files_under(3, 3, 64), 1);
}

static long own_oom_score(void)
{
	FILE *file = fopen("/proc/self/oom_score_adj", "r");
	long score = -9999;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%ld", &score), 1);
	fclose(file);
	return score;
}

/* In a child: a score can be raised by anyone, and lowered again only by root. */
static void the_worker_goes_first_when_memory_runs_out(void **state)
{
	long before = own_oom_score();
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		for (long raised = 300; raised <= 2400; raised += 300) {
			long expected = before + raised < 1000 ? before + raised : 1000;

			limits_raise_oom_score();
			if (own_oom_score() != expected)
				_exit(1);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(own_oom_score(), before);
}

static void cpu_lists_pin_or_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "a", "1-", "-1", "3-1", "0,", ",0", "0,,1", "0 ", "0x1", "8192", "0-99999999999999999999", "0-1-2"};
	cpu_set_t before, after;
	struct err err;
	char list[64];
	size_t first = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_int_equal(limits_pin_cpus(bad[i], &err), -EINVAL);
		assert_non_null(strstr(err.text, "is not a list of CPU numbers and ranges such as 0-3,8"));
	}
	while (!CPU_ISSET(first, &before))
		first++;

	snprintf(list, sizeof list, "%zu,8191", first); /* one of them is not there: nothing changes */
	assert_int_equal(limits_pin_cpus(list, &err), -EINVAL);
	assert_non_null(strstr(err.text, "CPU 8191 is not open to this process"));
	assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
	assert_true(CPU_EQUAL(&before, &after));
	assert_int_equal(limits_pin_cpus("8191", &err), -EINVAL);

	snprintf(list, sizeof list, "%zu-%zu,%zu", first, first, first);
	assert_int_equal(limits_pin_cpus(list, &err), 0);
	assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
	assert_int_equal(CPU_COUNT(&after), 1);
	assert_true(CPU_ISSET(first, &after));
	assert_int_equal(limits_cpu_count(), 1);
	assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_root, remove_root)
	const struct CMUnitTest tests[] = {
		TEST(a_machine_without_limits_gives_all_it_has),
		TEST(a_v2_quota_is_rounded_up),
		TEST(v2_memory_left_is_limit_less_use_without_page_cache),
		TEST(the_tightest_group_above_counts),
		TEST(a_container_sees_its_group_as_the_mount_point),
		TEST(v1_limits_lie_in_a_tree_for_each_controller),
		TEST(a_v1_quota_is_rounded_up),
		TEST(v1_and_v2_side_by_side_both_count),
		TEST(what_cannot_be_read_limits_nothing),
		TEST(any_text_in_proc_is_survived),
		TEST(very_long_lines_are_survived),
		cmocka_unit_test(this_machine_has_something),
		cmocka_unit_test(memory_is_refused_above_80_percent),
		cmocka_unit_test(cpu_lists_pin_or_are_refused),
		cmocka_unit_test(the_worker_goes_first_when_memory_runs_out),
		cmocka_unit_test(a_quarter_of_the_files_is_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
