/* test_report.c - files that a worker writes about itself: always whole, never in its way, and nothing is left when it dies. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/run/report.h"

static char folder[64], path[128];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/report-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/file", folder);
	signal(SIGPIPE, SIG_IGN); /* as log_open() does */
	return 0;
}

static int drop_folder(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", folder);
	return system(command);
}

static struct report open_report(enum report_way way)
{
	struct report report;
	struct err err = {.text = ""};

	if (report_open(&report, "--test", way, path, &err) < 0)
		fail_msg("%s", err.text);
	return report;
}

static void finish(struct report *report)
{
	struct err err = {.text = ""};

	if (report_finish(report, -1, &err) < 0)
		fail_msg("%s", err.text);
	report_close(report);
}

static void send_text(struct report *report, const char *text)
{
	while (report_send(report, text, strlen(text)) == -EAGAIN)
		usleep(1000);
}

static const char *contents(void)
{
	static char text[262144];
	FILE *file = fopen(path, "re");
	size_t count = file ? fread(text, 1, sizeof text - 1, file) : 0;

	if (file)
		fclose(file);
	text[count] = '\0';
	return text;
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* ------------------------------------------------------------------ files that are replaced */

static void a_file_is_the_last_text_and_always_a_whole_one(void **state)
{
	struct report report = open_report(REPORT_REPLACE);
	char text[100001];

	(void)state;
	for (int i = 0; i < 50; i++) {
		memset(text, 'a' + i % 26, sizeof text - 1);
		text[sizeof text - 1] = '\0';
		send_text(&report, text);
		if (contents()[0] != '\0') {
			const char *found = contents();

			assert_int_equal(strlen(found), sizeof text - 1);
			assert_int_equal(found[0], found[sizeof text - 2]);
		}
	}
	finish(&report);
	assert_string_equal(contents(), text);
}

/* Whoever has it open goes on reading what it was. */
static void a_file_that_is_open_stays_as_it_was(void **state)
{
	struct report report;
	char found[64] = "";
	int fd;

	(void)state;
	write_file("first, which is longer");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	report = open_report(REPORT_REPLACE);
	send_text(&report, "second");
	finish(&report);
	assert_string_equal(contents(), "second");
	assert_true(read(fd, found, sizeof found - 1) > 0);
	assert_string_equal(found, "first, which is longer");
	close(fd);
}

static void without_a_text_nothing_is_written(void **state)
{
	struct report report;

	(void)state;
	write_file("of an earlier run");
	for (int way = REPORT_REPLACE; way <= REPORT_CONTINUE; way++) {
		report = open_report((enum report_way)way);
		report_close(&report);
		assert_string_equal(contents(), "of an earlier run");
	}
}

static void a_full_disk_is_told_and_tried_again(void **state)
{
	struct report report;
	struct err err;

	(void)state;
	strcpy(path, "/dev/full");
	report = open_report(REPORT_REPLACE);
	send_text(&report, "text");
	while (report.error == 0) {
		assert_int_equal(report_step(&report), 0);
		usleep(1000);
	}
	assert_int_equal(report.error, ENOSPC);
	assert_int_equal(report_send(&report, "text", 4), 0);
	assert_int_equal(report_finish(&report, -1, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "--test /dev/full"));
	report_close(&report);
}

/* As on a disk that fills up in the middle of it. */
static void a_text_that_does_not_fit_leaves_the_one_before_and_nothing_else(void **state)
{
	struct rlimit before, small;
	struct report report;
	char text[5000], command[128];
	struct err err;

	(void)state;
	memset(text, 'x', sizeof text);
	write_file("first");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){.rlim_cur = 1000, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	report = open_report(REPORT_REPLACE);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(report_send(&report, text, sizeof text), 0);
	assert_int_equal(report_finish(&report, -1, &err), -EFBIG);
	report_close(&report);
	assert_string_equal(contents(), "first");
	snprintf(command, sizeof command, "test $(ls -A %s | wc -l) = 1", folder);
	assert_int_equal(system(command), 0);
}

static void a_disk_that_has_room_again_is_no_failure(void **state)
{
	struct report report = open_report(REPORT_REPLACE);
	char elsewhere[96];

	(void)state;
	snprintf(elsewhere, sizeof elsewhere, "%s-elsewhere", folder);
	assert_int_equal(rename(folder, elsewhere), 0);
	send_text(&report, "first");
	while (report.error == 0) {
		assert_int_equal(report_step(&report), 0);
		usleep(1000);
	}
	assert_int_equal(report.error, ENOENT);
	assert_int_equal(rename(elsewhere, folder), 0);
	send_text(&report, "second");
	finish(&report);
	assert_string_equal(contents(), "second");
}

static void a_place_where_no_file_can_be_is_refused_at_once(void **state)
{
	struct report report;
	struct err err;

	(void)state;
	assert_int_equal(report_open(&report, "--test", REPORT_REPLACE, folder, &err), -EINVAL);
	assert_non_null(strstr(err.text, "this is a folder"));
	strcat(path, "/nowhere/file");
	assert_int_equal(report_open(&report, "--test", REPORT_APPEND, path, &err), -EINVAL);
	assert_non_null(strstr(err.text, "cannot write in the folder"));
}

/* ------------------------------------------------------------------ files that grow */

static void lines_become_an_array(void **state)
{
	struct report report;

	(void)state;
	write_file("something else, and longer than what comes now: it goes");
	report = open_report(REPORT_APPEND);
	assert_int_equal(report.earlier_bytes, 0);
	send_text(&report, "{1},\n{2},\n");
	send_text(&report, "{3}\n]\n");
	finish(&report);
	assert_string_equal(contents(), "[\n{1},\n{2},\n{3}\n]\n");
}

static void another_worker_goes_on_behind_the_last_whole_line(void **state)
{
	static const char *const before[] = {
		"[\n{1},\n{2}\n]\n",    /* it ended well */
		"[\n{1},\n{2},\n",      /* it was killed between two lines, */
		"[\n{1},\n{2},\n{\"na", /* in the middle of one, */
		"[\n{1},\n{2},\n{3}",   /* or before its end */
		"[\n{1},\n{2},\n{\"name\":\"longer than what comes after it", /* of which nothing is left */
	};

	(void)state;
	for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
		struct report report;

		write_file(before[i]);
		report = open_report(REPORT_CONTINUE);
		assert_int_equal(report.earlier_bytes, strlen(before[i]));
		send_text(&report, "{4}\n]\n");
		finish(&report);
		assert_string_equal(contents(), "[\n{1},\n{2},\n{4}\n]\n");
	}
}

static void a_file_that_is_not_there_or_empty_is_begun(void **state)
{
	static const char *const before[] = {NULL, "", "[", "[\n"};

	(void)state;
	for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
		struct report report;

		unlink(path);
		if (before[i])
			write_file(before[i]);
		report = open_report(REPORT_CONTINUE);
		send_text(&report, "{4}\n]\n");
		finish(&report);
		assert_string_equal(contents(), "[\n{4}\n]\n");
	}
}

static void a_file_that_could_not_grow_stops_growing(void **state)
{
	struct report report;
	struct err err;

	(void)state;
	strcpy(path, "/dev/full");
	report = open_report(REPORT_APPEND);
	send_text(&report, "{1},\n");
	assert_int_equal(report_finish(&report, -1, &err), -ENOSPC);
	report_close(&report);
}

static void one_file_has_one_writer(void **state)
{
	struct report first = open_report(REPORT_APPEND), second = open_report(REPORT_APPEND);
	struct err err;

	(void)state;
	send_text(&first, "{1},\n");
	while (strlen(contents()) < 2 + 5)
		usleep(1000);
	send_text(&second, "{2}\n]\n");
	while (report_step(&second) == 0 && second.error == 0)
		usleep(1000);
	assert_int_equal(second.error, EBUSY);
	assert_int_equal(report_finish(&second, -1, &err), -EBUSY);
	report_close(&second);
	send_text(&first, "{3}\n]\n");
	finish(&first);
	assert_string_equal(contents(), "[\n{1},\n{3}\n]\n");
}

/* ------------------------------------------------------------------ writers that do not write, workers that die */

/* A batch system warns all processes of a job with SIGUSR1 or SIGUSR2 minutes before it ends it. */
static void a_signal_to_the_whole_group_leaves_the_writer_alone(void **state)
{
	static const int numbers[] = {SIGUSR1, SIGUSR2, SIGINT, SIGTERM, SIGHUP};
	struct report report = open_report(REPORT_REPLACE);

	(void)state;
	send_text(&report, "first");
	while (strcmp(contents(), "first") != 0)
		usleep(1000);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		kill(report.writer, numbers[i]);
	usleep(2500000); /* those of a dead worker have 2 s */
	send_text(&report, "second");
	finish(&report);
	assert_string_equal(contents(), "second");
}

static void a_writer_that_was_killed_is_noticed_and_costs_nothing(void **state)
{
	struct report report = open_report(REPORT_REPLACE);
	struct err err;
	int rc;

	(void)state;
	kill(report.writer, SIGKILL);
	while ((rc = report_send(&report, "text", 4)) != -EPIPE)
		assert_true(rc == 0 || rc == -EAGAIN);
	assert_int_equal(report_finish(&report, -1, &err), -EPIPE);
	report_close(&report);
}

/* Nobody ever opens the FIFO for reading. */
static void a_writer_that_hangs_never_makes_the_worker_wait(void **state)
{
	char text[50000];
	struct report report;
	struct err err;
	pid_t writer;
	int rc = 0;

	(void)state;
	memset(text, 'x', sizeof text);
	assert_int_equal(mkfifo(path, 0600), 0);
	report = open_report(REPORT_REPLACE);
	writer = report.writer;
	while (rc == 0)
		rc = report_send(&report, text, sizeof text);
	assert_int_equal(rc, -EAGAIN);
	assert_int_equal(report_finish(&report, 20, &err), -ETIMEDOUT);
	report_close(&report);
	kill(writer, SIGKILL);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
}

static void what_a_killed_worker_said_is_written_and_its_writer_ends(void **state)
{
	int told[2];
	pid_t worker, writer;

	(void)state;
	assert_int_equal(pipe(told), 0);
	worker = fork();
	if (worker == 0) {
		struct report report = open_report(REPORT_APPEND);

		send_text(&report, "{1},\n");
		while (strlen(contents()) < 2 + 5)
			usleep(1000);
		kill(report.writer, SIGSTOP); /* it has no time any more before the worker dies */
		for (int i = 1; i < 100; i++)
			send_text(&report, "{1},\n");
		while (report_step(&report) == -EAGAIN) /* what is not in the socket dies with the worker */
			usleep(1000);
		if (write(told[1], &report.writer, sizeof report.writer) > 0)
			raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(read(told[0], &writer, sizeof writer), sizeof writer);
	assert_int_equal(waitpid(worker, NULL, 0), worker);
	kill(writer, SIGCONT);
	for (int i = 0; i < 20000 && kill(writer, 0) == 0; i++)
		usleep(1000);
	assert_int_equal(kill(writer, 0), -1); /* it ended by itself, */
	assert_int_equal(strlen(contents()), 2 + 100 * 5); /* and wrote everything before */
	close(told[0]);
	close(told[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_is_the_last_text_and_always_a_whole_one, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_file_that_is_open_stays_as_it_was, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(without_a_text_nothing_is_written, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_full_disk_is_told_and_tried_again, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_text_that_does_not_fit_leaves_the_one_before_and_nothing_else, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_disk_that_has_room_again_is_no_failure, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_place_where_no_file_can_be_is_refused_at_once, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(lines_become_an_array, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(another_worker_goes_on_behind_the_last_whole_line, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_file_that_is_not_there_or_empty_is_begun, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_file_that_could_not_grow_stops_growing, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(one_file_has_one_writer, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_signal_to_the_whole_group_leaves_the_writer_alone, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_writer_that_was_killed_is_noticed_and_costs_nothing, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_writer_that_hangs_never_makes_the_worker_wait, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(what_a_killed_worker_said_is_written_and_its_writer_ends, make_folder, drop_folder),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
