/*
 * main.c - the command `cropring`: serve, crop, pack, unpack, info, list, flags; and what Python does.  One thread, until serve() starts more.
 *
 * stdout is for what was asked for, stderr for people.  Exit codes: --help of `cropring serve`.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/options.h"
#include "loader/run/limits.h"
#include "loader/run/printable.h"
#include "loader/run/serve.h"
#include "loader/shell/crop_command.h"
#include "loader/shell/info_command.h"
#include "loader/shell/list_command.h"
#include "loader/shell/pack_command.h"
#include "loader/shell/python_command.h"
#include "loader/shell/unpack_command.h"
#include "shmring/shmring.h"

static const char overview[] =
	"Usage: cropring COMMAND [FLAG]...\n"
	"\n"
	"Feeds training processes with batches of decoded and cropped images through shared memory.\n"
	"\n"
	"Commands:\n"
	"  serve SOURCE     run the loader in the foreground: images of a folder, table, tar or pack to a ring\n"
	"  crop PATHS...    cut a window out of each image: to a contact sheet (PNG) or a NumPy array\n"
	"  pack SOURCE OUT  store images without loss so that regions of them are read and decoded alone\n"
	"  unpack PACK DIR  write the images of a pack as the ordinary files that they are\n"
	"  info FILE        what is in an image, a pack or another source, and what a crop of it costs\n"
	"  list             show the rings that run now\n"
	"  top [RING]       watch a running ring: who waits for whom, and what to do about it\n"
	"  plot TRACE       draw what `serve --trace TRACE` wrote: the slots over time, and who waited\n"
	"  sheet SOURCE     a picture of any batch, as it will reach the trainer\n"
	"  flags            print the flags of serve as a table for docs (--markdown) or programs (--json)\n"
	"\n"
	"Examples:\n"
	"  cropring serve photos/train --ring train --epochs 90\n"
	"  cropring crop photos/*.jpg --scale 0.5 --x 0.25 --y 0.25 -o sheet.png\n"
	"  cropring pack photos/train train.pack\n"
	"  cropring sheet photos/train --boxes -o sheet.png\n"
	"  python3 -c 'import cropring; print(next(iter(cropring.attach(\"train\"))).images.shape)'\n"
	"\n"
	"  -h, --help       print this and exit; after a command: its help\n"
	"  -V, --version    print the version and exit\n";

/* One sentence and where to read on. */
static int refuse_usage(const char *command, const char *sentence)
{
	char text[sizeof(struct err) + 64];

	printable_escape(text, sizeof text, sentence);
	fprintf(stderr, "cropring: %s\nTry 'cropring %s--help'.\n", text, command);
	return EXIT_USAGE;
}

/* What was printed counts only when it arrived. */
static int finish_output(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_DONE;
	perror("cropring: standard output");
	return EXIT_FAILED;
}

static int run_serve(int argc, char **argv)
{
	struct options options;
	struct err err;
	int rc = options_parse(&options, argc, argv, &err);

	if (rc == 0)
		return serve(&options);
	if (options.reader_fd < 0)
		return refuse_usage("serve ", err.text);
	shmring_door_refuse(options.reader_fd, rc, err.text); /* Python raises it, once is enough */
	return EXIT_USAGE;
}

static int run_crop(int argc, char **argv)
{
	struct crop_flags flags;
	struct err err;
	int rc = crop_flags_parse(&flags, argc, argv, &err);

	rc = rc == 0 ? crop_command(&flags) : refuse_usage("crop ", err.text);
	crop_flags_close(&flags);
	return rc;
}

static int run_pack(int argc, char **argv)
{
	struct pack_flags flags;
	struct err err;
	int rc = pack_flags_parse(&flags, argc, argv, &err);

	return rc == 0 ? pack_command(&flags) : refuse_usage("pack ", err.text);
}

static int run_info(int argc, char **argv)
{
	struct info_flags flags;
	struct err err;
	int rc;

	if (info_flags_parse(&flags, argc, argv, &err) < 0)
		return refuse_usage("info ", err.text);
	rc = info_command(&flags);
	return finish_output() == EXIT_DONE ? rc : EXIT_FAILED;
}

static int run_unpack(int argc, char **argv)
{
	struct unpack_flags flags;
	struct err err;

	return unpack_flags_parse(&flags, argc, argv, &err) == 0 ? unpack_command(&flags) : refuse_usage("unpack ", err.text);
}

/* The one flag of `list` and of `flags`, as argp hands it over. */
static error_t take_form(int key, char *argument, struct argp_state *state)
{
	int *form = state->input;

	(void)argument; /* none has a value */
	if (key == ARGP_KEY_ARG || (key != 'j' && key != 'm'))
		return ARGP_ERR_UNKNOWN;
	*form = key;
	return 0;
}

static int run_list(int argc, char **argv)
{
	static const struct argp_option forms[] = {{"json", 'j', NULL, 0, "print a JSON array of objects", 0}, {0}};
	static const struct argp argp = {
		.options = forms, .parser = take_form, .doc = "Shows the rings of this user that run now."};
	int form = 't', rc;

	argp_parse(&argp, argc, argv, 0, NULL, &form);
	rc = list_command(form == 'j');
	return finish_output() == EXIT_DONE ? rc : EXIT_FAILED;
}

static int run_flags(int argc, char **argv)
{
	static const struct argp_option forms[] = {
		{"markdown", 'm', NULL, 0, "a table for the docs", 0}, {"json", 'j', NULL, 0, "an array of objects", 0}, {0}};
	static const struct argp argp = {.options = forms, .parser = take_form, .doc = "Prints the flags of `cropring serve`."};
	int form = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &form);
	if (form == 'm')
		options_print_markdown();
	else if (form == 'j')
		options_print_json();
	else
		return refuse_usage("flags ", "say --markdown or --json");
	return finish_output();
}

/* ------------------------------------------------------------------ */

/*
 * A stream that is closed stays of no use, but its number is taken: or it would be that of the next file or ring that is opened,
 * and the log be written into it.
 */
static void hold_standard_streams(void)
{
	static const int useless[] = {O_WRONLY, O_RDONLY, O_RDONLY};

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", useless[fd]); /* the lowest free number; without it all is as before */
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		char *full_name; /* what argp, or Python, calls the program */
		int (*run)(int argc, char **argv);
	} commands[] = {
		{"serve", "cropring serve", run_serve},
		{"crop", "cropring crop", run_crop},
		{"pack", "cropring pack", run_pack},
		{"unpack", "cropring unpack", run_unpack},
		{"info", "cropring info", run_info},
		{"list", "cropring list", run_list},
		{"top", "top", python_command},
		{"plot", "plot", python_command},
		{"sheet", "sheet", python_command},
		{"flags", "cropring flags", run_flags},
	};
	char sentence[300];
	struct stat found;

	hold_standard_streams();
	limits_raise_open_files();
	(void)prctl(PR_SET_NAME, "cropring"); /* a worker of `cropring crop` would be called exe, after /proc/self/exe */
	argp_err_exit_status = EXIT_USAGE;
	if (argc < 2) {
		fputs(overview, stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			argv[1] = commands[i].full_name;
			return commands[i].run(argc - 1, argv + 1);
		}
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		fputs(overview, stdout);
		return finish_output();
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("cropring %s\n", CROPRING_VERSION);
		return finish_output();
	}
	if (stat(argv[1], &found) == 0)
		snprintf(sentence, sizeof sentence, "'%.100s' is a %s, not a command; did you mean: cropring serve %.100s", argv[1],
		         S_ISDIR(found.st_mode) ? "folder" : "file", argv[1]);
	else
		snprintf(sentence, sizeof sentence,
		         "'%.100s' is not a command; there are serve, crop, pack, unpack, info, list, top, plot, sheet and flags",
		         argv[1]);
	return refuse_usage("", sentence);
}
