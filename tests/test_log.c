/*
 * test_log.c - lines on stderr, seen through pipes, a full pipe, a closed pipe, a full device and a terminal.
 * Just over 500 lines: each kind of stderr needs its own few lines of set-up, and they share one fixture.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "loader/run/log.h"
#include "loader/run/printable.h"

static int usual_stderr = -1;
static int pipe_end = -1; /* where stderr can be read */
static char seen[1 << 20];

static void send_stderr_to(int fd)
{
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static int open_pipe(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pipe_end = ends[0];
	fcntl(pipe_end, F_SETFL, O_NONBLOCK);
	usual_stderr = dup(STDERR_FILENO);
	send_stderr_to(ends[1]);
	log_keep(NULL, NULL);
	return 0;
}

/* All that came since the last call. */
static char *read_stderr(void)
{
	size_t used = 0;
	ssize_t byte_count;

	while ((byte_count = read(pipe_end, seen + used, sizeof seen - 1 - used)) > 0)
		used += (size_t)byte_count;
	seen[used] = '\0';
	return seen;
}

static int close_pipe(void **state)
{
	(void)state;
	send_stderr_to(usual_stderr);
	fputs(read_stderr(), stderr); /* what the test did not ask for: cmocka's own words when it failed */
	close(pipe_end);
	pipe_end = -1;
	return 0;
}

static void assert_stderr(const char *expected)
{
	assert_string_equal(read_stderr(), expected);
}

/* ------------------------------------------------------------------ text */

static void people_read_a_sentence_with_its_weight(void **state)
{
	(void)state;
	log_open(0, false);
	log_write(LOG_ERROR, "%d files are %s", 3, "bad");
	log_write(LOG_WARNING, "careful");
	log_write(LOG_INFO, "ring train: 8 slots");
	log_write(LOG_DEBUG, "not shown");
	assert_stderr("cropring: error: 3 files are bad\ncropring: warning: careful\ncropring: ring train: 8 slots\n");
}

static void quiet_leaves_only_errors(void **state)
{
	(void)state;
	log_open(-1, false);
	log_write(LOG_WARNING, "careful");
	log_write(LOG_INFO, "hello");
	log_sample(3, "a.jpg", "empty", "0 bytes");
	log_flush();
	assert_stderr("");
	log_write(LOG_ERROR, "no");
	assert_stderr("cropring: error: no\n");
}

static void verbose_adds_seconds_and_details(void **state)
{
	double seconds;
	int end = 0;
	char *line;

	(void)state;
	log_open(1, false);
	log_write(LOG_DEBUG, "reader joined");
	line = read_stderr();
	assert_int_equal(sscanf(line, "%lf cropring: debug: reader joined%n", &seconds, &end), 1);
	assert_true(end > 0 && line[end] == '\n' && seconds >= 0);
	assert_non_null(strchr(line, '.'));
}

static void hostile_names_stay_within_their_line(void **state)
{
	(void)state;
	log_open(0, false);
	log_sample(1, "a\n\033[2Jcropring: error: \x7f\r\t.jpg", "corrupt", "bad\x01 marker");
	assert_stderr("cropring: warning: a\\n\\x1b[2Jcropring: error: \\x7f\\x0d\\t.jpg: bad\\x01 marker\n");
	log_write(LOG_INFO, "photos\xff/\xc3\xa9t\xc3/\xc2\x9b"
	                    "31m");
	assert_stderr("cropring: photos\\xff/\xc3\xa9t\\xc3/\\xc2\\x9b"
	              "31m\n");
}

static void long_lines_are_cut_and_still_one_atomic_write(void **state)
{
	char *path = malloc(9001);

	(void)state;
	memset(path, 'p', 9000);
	path[9000] = '\0';
	for (int json = 0; json <= 1; json++) {
		char *text;

		log_open(0, json);
		log_sample(1, path, "corrupt", "the reason");
		log_write(LOG_INFO, "%s", path);
		text = read_stderr();
		assert_true(strcspn(text, "\n") < PIPE_BUF);
		assert_non_null(strstr(text, "ppp..."));
		assert_non_null(strstr(text, "the reason"));
		assert_int_equal(text[strlen(text) - 1], '\n');
	}
	memset(path, '\001', 9000);
	log_sample(1, path, "corrupt", "the reason");
	assert_true(strlen(read_stderr()) < PIPE_BUF);
	assert_non_null(strstr(seen, "\\u0001"));
	assert_non_null(strstr(seen, "the reason"));
	free(path);
}

static void printable_text_is_cut_between_characters(void **state)
{
	char out[12], whole[64];

	(void)state;
	printable_escape(out, sizeof out, "12345678901");
	assert_string_equal(out, "12345678901"); /* just fits */
	printable_escape(out, sizeof out, "123456789012");
	assert_string_equal(out, "12345678...");
	printable_escape(out, sizeof out,
	                 "123456\xf0\x9f\x98\x80"
	                 "9012");
	assert_string_equal(out, "123456...");
	printable_escape(out, sizeof out, "1234567\n1234");
	assert_string_equal(out, "1234567...");
	printable_utf8(whole, sizeof whole, "\xe0\x9f\xbf|\xf0\x8f\xbf\xbf"); /* longer forms than need be */
	assert_string_equal(whole, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	printable_utf8(whole, sizeof whole,
	               "a\xff"
	               "b\xc0\x80"
	               "c\xed\xa0\x80"
	               "d\xf4\x90\x80\x80"
	               "e\n\xe2\x82\xac\xe2\x82");
	assert_string_equal(whole, "a\xef\xbf\xbd"
	                           "b\xef\xbf\xbd\xef\xbf\xbd"
	                           "c\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
	                           "d\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
	                           "e\n\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd");
}

/* ------------------------------------------------------------------ JSON */

static json_t *read_object(void)
{
	char *text = read_stderr();
	json_t *object = json_loads(text, 0, NULL);

	assert_non_null(object);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
	return object;
}

static const char *string_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static void json_lines_are_objects_with_a_time(void **state)
{
	unsigned year, month, day, hour, minute, second, milliseconds;
	json_t *object;
	int end = 0;

	(void)state;
	log_open(0, true);
	log_write(LOG_WARNING, "a \"%s\" line\nand \x01", "quoted");
	object = read_object();
	assert_string_equal(string_of(object, "level"), "warning");
	assert_string_equal(string_of(object, "message"), "a \"quoted\" line\nand \x01");
	sscanf(string_of(object, "time"), "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ%n", &year, &month, &day, &hour, &minute, &second,
	       &milliseconds, &end);
	assert_int_equal(end, 24);
	assert_int_equal(strlen(string_of(object, "time")), 24);
	json_decref(object);
}

static void json_samples_have_fields_and_survive_any_bytes(void **state)
{
	json_t *object;

	(void)state;
	log_open(0, true);
	log_sample(1234567890123, "photos/\xff\xfe.jpg", "truncated", "ends \xc3");
	object = read_object();
	assert_int_equal(json_integer_value(json_object_get(object, "sample")), 1234567890123);
	assert_string_equal(string_of(object, "level"), "warning");
	assert_string_equal(string_of(object, "path"), "photos/\xef\xbf\xbd\xef\xbf\xbd.jpg");
	assert_string_equal(string_of(object, "status"), "truncated");
	assert_string_equal(string_of(object, "reason"), "ends \xef\xbf\xbd");
	json_decref(object);
}

/* ------------------------------------------------------------------ bad samples */

/* Lines about samples, and samples that are only counted in `and N more`. */
static void count_samples(const char *text, uint64_t *lines, uint64_t *held_back)
{
	*lines = *held_back = 0;
	while (*text) {
		unsigned long long more;

		if (sscanf(text, "cropring: warning: ... and %llu more bad sample", &more) == 1)
			*held_back += more;
		else if (!strncmp(text, "cropring: warning: x.jpg: ", 26))
			++*lines;
		text += strcspn(text, "\n") + 1;
	}
}

static void a_flood_of_bad_samples_is_summed_up(void **state)
{
	uint64_t begin_ns = clock_now_ns(), lines, held_back, windows;

	(void)state;
	log_open(0, false);
	for (uint64_t i = 0; i < 1000; i++)
		log_sample(i, "x.jpg", "corrupt", "bad marker");
	windows = (clock_now_ns() - begin_ns) / 1000000000u + 1;
	log_write(LOG_INFO, "and on");
	count_samples(read_stderr(), &lines, &held_back);
	assert_int_equal(lines + held_back, 1000);
	assert_true(lines >= 10 && lines <= 10 * windows);
	assert_non_null(strstr(seen, " more bad samples\ncropring: and on\n")); /* before the next line */
	log_flush();
	assert_stderr(""); /* said once */
}

static void a_flush_tells_what_is_held_back(void **state)
{
	uint64_t lines, held_back;

	(void)state;
	log_open(0, false);
	for (uint64_t i = 0; i < 11; i++)
		log_sample(i, "x.jpg", "corrupt", "bad marker");
	(void)read_stderr();
	log_flush();
	count_samples(read_stderr(), &lines, &held_back);
	assert_true(held_back <= 1); /* 0 when a second went by meanwhile */
	if (held_back == 1)
		assert_string_equal(seen, "cropring: warning: ... and 1 more bad sample\n");
	log_flush();
	assert_stderr("");
}

static void lines_come_back_with_the_next_second(void **state)
{
	uint64_t lines, held_back, all_lines = 0, all_held_back = 0, logged = 0, begin_ns = clock_now_ns();

	(void)state;
	log_open(0, false);
	while (all_lines <= 10) { /* ends after a second */
		assert_true(clock_now_ns() - begin_ns < UINT64_C(60000000000));
		log_sample(logged++, "x.jpg", "corrupt", "bad marker");
		count_samples(read_stderr(), &lines, &held_back);
		all_lines += lines;
		all_held_back += held_back;
		usleep(2000);
	}
	assert_true(clock_now_ns() - begin_ns >= 900000000u);
	assert_int_equal(all_lines + all_held_back, logged); /* the sum came before the new second's first line */
}

/* ------------------------------------------------------------------ a stderr that is not well */

static void a_closed_pipe_costs_lines_not_the_process(void **state)
{
	(void)state;
	log_open(0, false);
	close(pipe_end);
	pipe_end = -1;
	log_write(LOG_ERROR, "nobody reads this");
	log_sample(1, "a", "b", "c");
	close(STDERR_FILENO);
	log_write(LOG_ERROR, "nor this");
	assert_int_equal(open("/dev/full", O_WRONLY), STDERR_FILENO);
	log_write(LOG_ERROR, "nor that");
}

static void count_kept(const char *line, void *context)
{
	(void)line;
	++*(unsigned *)context;
}

static void a_full_pipe_is_not_waited_for(void **state)
{
	unsigned kept = 0;
	char *text;

	(void)state;
	log_open(0, false);
	log_keep(count_kept, &kept);
	alarm(60); /* an endless wait would end here */
	for (int i = 0; i < 20000; i++)
		log_write(LOG_INFO, "line %d", i);
	alarm(0);
	assert_int_equal(kept, 20000); /* what stderr has no room for, the ring's log still gets */
	text = read_stderr();
	assert_memory_equal(text, "cropring: line 0\ncropring: line 1\n", 34);
	assert_int_equal(text[strlen(text) - 1], '\n'); /* no torn line */
	log_write(LOG_INFO, "room again");
	assert_stderr("cropring: room again\n");
}

/* ------------------------------------------------------------------ the ring's copy */

static void keep_last(const char *line, void *context)
{
	snprintf(context, 200, "%s", line);
}

static void printed_lines_are_kept_without_their_end(void **state)
{
	char kept[200] = "";

	(void)state;
	log_open(0, false);
	log_keep(keep_last, kept);
	log_write(LOG_WARNING, "careful\n");
	assert_string_equal(kept, "cropring: warning: careful\\n");
	log_write(LOG_DEBUG, "not printed, not kept");
	assert_string_equal(kept, "cropring: warning: careful\\n");
	log_keep(NULL, NULL);
	log_write(LOG_ERROR, "not kept");
	assert_string_equal(kept, "cropring: warning: careful\\n");
	(void)read_stderr();
}

/* ------------------------------------------------------------------ threads */

enum { THREADS = 4, LINES_EACH = 200 };

static void *log_much(void *number)
{
	for (int i = 0; i < LINES_EACH; i++)
		log_write(LOG_INFO, "thread %d line %d end", *(int *)number, i);
	return NULL;
}

static void lines_of_many_threads_are_never_torn(void **state)
{
	pthread_t threads[THREADS];
	int numbers[THREADS], next[THREADS] = {0};

	(void)state;
	log_open(0, false);
	fcntl(pipe_end, F_SETPIPE_SZ, 1 << 20); /* all of it fits */
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, log_much, &numbers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (char *line = read_stderr(); *line; line += strcspn(line, "\n") + 1) {
		int thread, number, end = 0;

		assert_int_equal(sscanf(line, "cropring: thread %d line %d end%n", &thread, &number, &end), 2);
		assert_int_equal(line[end], '\n');
		assert_int_equal(number, next[thread]++);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(next[i], LINES_EACH);
}

/* ------------------------------------------------------------------ terminals */

static void open_terminal(const char *type, unsigned short columns)
{
	struct winsize size = {.ws_row = 24, .ws_col = columns};
	int terminal, master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	terminal = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(terminal >= 0);
	ioctl(terminal, TIOCSWINSZ, &size);
	fcntl(master, F_SETFL, O_NONBLOCK);
	send_stderr_to(terminal);
	close(pipe_end);
	pipe_end = master;
	setenv("TERM", type, 1);
}

static void the_status_line_makes_way_for_lines(void **state)
{
	(void)state;
	open_terminal("xterm", 80);
	log_open(0, false);
	assert_true(log_has_terminal());
	log_progress("ring 3/8");
	assert_stderr("\r\033[Kring 3/8");
	log_write(LOG_INFO, "hello");
	assert_stderr("\r\033[Kcropring: hello\r\nring 3/8"); /* the terminal adds the \r */
	log_progress("");
	assert_stderr("\r\033[K");
	log_write(LOG_INFO, "hello");
	assert_stderr("cropring: hello\r\n");
}

static void the_status_line_fits_the_terminal(void **state)
{
	(void)state;
	open_terminal("xterm", 10);
	log_open(0, false);
	log_progress("\xe2\x96\x81\xe2\x96\x82 3/8 ready");
	assert_stderr("\r\033[K\xe2\x96\x81\xe2\x96\x82 3/8 re"); /* 9 of 10 columns */
	log_progress("a\nb");
	assert_stderr("\r\033[Ka\\nb");
}

static void no_status_line_without_a_capable_terminal(void **state)
{
	(void)state;
	log_open(0, false); /* a pipe */
	assert_false(log_has_terminal());
	log_progress("ring 3/8");
	log_write(LOG_INFO, "hello");
	assert_stderr("cropring: hello\n");

	open_terminal("dumb", 80);
	log_open(0, false);
	assert_false(log_has_terminal());
	setenv("TERM", "xterm", 1);
	log_open(0, true);
	assert_false(log_has_terminal());
	log_open(-1, false);
	assert_false(log_has_terminal());
	log_progress("ring 3/8");
	assert_stderr("");
	log_open(0, false);
	assert_true(log_has_terminal());
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, open_pipe, close_pipe)
	const struct CMUnitTest tests[] = {
		TEST(people_read_a_sentence_with_its_weight),
		TEST(quiet_leaves_only_errors),
		TEST(verbose_adds_seconds_and_details),
		TEST(hostile_names_stay_within_their_line),
		TEST(long_lines_are_cut_and_still_one_atomic_write),
		TEST(printable_text_is_cut_between_characters),
		TEST(json_lines_are_objects_with_a_time),
		TEST(json_samples_have_fields_and_survive_any_bytes),
		TEST(a_flood_of_bad_samples_is_summed_up),
		TEST(a_flush_tells_what_is_held_back),
		TEST(lines_come_back_with_the_next_second),
		TEST(a_closed_pipe_costs_lines_not_the_process),
		TEST(a_full_pipe_is_not_waited_for),
		TEST(printed_lines_are_kept_without_their_end),
		TEST(lines_of_many_threads_are_never_torn),
		TEST(the_status_line_makes_way_for_lines),
		TEST(the_status_line_fits_the_terminal),
		TEST(no_status_line_without_a_capable_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
