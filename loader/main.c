/*
 * main.c - the command `cropring`: the table of its commands, and the way to each.  One thread, until serve() starts more.
 *
 * stdout is for what was asked for, stderr for people.  Exit codes: --help of `cropring serve`.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/options_internal.h"
#include "loader/run/limits.h"
#include "loader/run/printable.h"
#include "loader/run/serve.h"
#include "loader/shell/command.h"
#include "loader/shell/completion.h"
#include "loader/shell/crop_command.h"
#include "loader/shell/form_flags.h"
#include "loader/shell/info_command.h"
#include "loader/shell/list_command.h"
#include "loader/shell/pack_command.h"
#include "loader/shell/python_command.h"
#include "loader/shell/unpack_command.h"
#include "shmring/shmring.h"

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

static int run_list(int argc, char **argv)
{
	struct err err;
	enum form form;
	int rc;

	if (form_flags_parse(&form, form_flags_list(), argc, argv, &err) < 0)
		return refuse_usage("list ", err.text);
	rc = list_command(form == FORM_JSON);
	return finish_output() == EXIT_DONE ? rc : EXIT_FAILED;
}

static int run_flags(int argc, char **argv)
{
	struct err err;
	enum form form;

	if (form_flags_parse(&form, form_flags_flags(), argc, argv, &err) < 0)
		return refuse_usage("flags ", err.text);
	if (form == FORM_NONE)
		return refuse_usage("flags ", "say --markdown or --json");
	if (form == FORM_JSON)
		options_print_json();
	else
		options_print_markdown();
	return finish_output();
}

static int run_completion(int argc, char **argv)
{
	struct err err;

	return completion_command(argc, argv, &err) < 0 ? refuse_usage("completion ", err.text) : finish_output();
}

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

/* ------------------------------------------------------------------ the commands */

static const struct options_command *serve_flags(void)
{
	return &options_serve;
}

const struct command commands[] = {
	/* clang-format off */
	{"serve", "SOURCE", "run the loader in the foreground: images of a folder, table, tar or pack to a ring", OPERAND_FILE, run_serve, serve_flags},
	{"crop", "PATHS...", "cut a window out of each image: to a contact sheet (PNG) or a NumPy array", OPERAND_FILE, run_crop, crop_flags_command},
	{"pack", "SOURCE OUT", "store images without loss so that regions of them are read and decoded alone", OPERAND_FILE, run_pack, pack_flags_command},
	{"unpack", "PACK DIR", "write the images of a pack as the ordinary files that they are", OPERAND_FILE, run_unpack, unpack_flags_command},
	{"info", "FILE", "what is in an image, a pack or another source, and what a crop of it costs", OPERAND_FILE, run_info, info_flags_command},
	{"list", "", "show the rings that run now", OPERAND_NOTHING, run_list, form_flags_list},
	{"top", "[RING]", "watch a running ring: who waits for whom, and what to do about it", OPERAND_RING, python_command, NULL},
	{"plot", "TRACE", "draw what `serve --trace TRACE` wrote: the slots over time, and who waited", OPERAND_FILE, python_command, NULL},
	{"sheet", "SOURCE", "a picture of any batch, as it will reach the trainer", OPERAND_FILE, python_command, NULL},
	{"flags", "", "print the flags of serve as a table for docs (--markdown) or programs (--json)", OPERAND_NOTHING, run_flags, form_flags_flags},
	{"completion", "SHELL", "print what bash, zsh or fish runs to complete all this", OPERAND_SHELL, run_completion, completion_flags},
	/* clang-format on */
	{NULL, NULL, NULL, OPERAND_NOTHING, NULL, NULL},
};

static void print_overview(FILE *file)
{
	fputs("Usage: cropring COMMAND [FLAG]...\n"
	      "\n"
	      "Feeds training processes with batches of decoded and cropped images through shared memory.\n"
	      "\n"
	      "Commands:\n",
	      file);
	for (const struct command *command = commands; command->name; command++) {
		int length = fprintf(file, "  %s %s", command->name, command->operands);

		fprintf(file, "%*s%s\n", 20 - length, "", command->about);
	}
	fputs("\n"
	      "Examples:\n"
	      "  cropring serve photos/train --ring train --epochs 90\n"
	      "  cropring crop photos/*.jpg --scale 0.5 --x 0.25 --y 0.25 -o sheet.png\n"
	      "  cropring pack photos/train train.pack\n"
	      "  cropring sheet photos/train --boxes -o sheet.png\n"
	      "  python3 -c 'import cropring; print(next(iter(cropring.attach(\"train\"))).images.shape)'\n"
	      "\n"
	      "  -h, --help        print this and exit; after a command: its help\n"
	      "  -V, --version     print the version and exit\n",
	      file);
}

/* "serve, crop, ... and flags", behind what is there already. */
static void append_names(char *text, size_t text_bytes)
{
	size_t length = strlen(text);

	for (const struct command *command = commands; command->name && length < text_bytes; command++) {
		const char *before = command == commands ? "" : command[1].name ? ", " : " and ";

		length += (size_t)snprintf(text + length, text_bytes - length, "%s%s", before, command->name);
	}
}

static int refuse_command(const char *word)
{
	char sentence[300];
	struct stat found;

	if (stat(word, &found) == 0) {
		snprintf(sentence, sizeof sentence, "'%.100s' is a %s, not a command; did you mean: cropring serve %.100s", word,
		         S_ISDIR(found.st_mode) ? "folder" : "file", word);
	} else {
		snprintf(sentence, sizeof sentence, "'%.100s' is not a command; there are ", word);
		append_names(sentence, sizeof sentence);
	}
	return refuse_usage("", sentence);
}

int main(int argc, char **argv)
{
	hold_standard_streams();
	limits_raise_open_files();
	(void)prctl(PR_SET_NAME, "cropring"); /* a worker of `cropring crop` would be called exe, after /proc/self/exe */
	if (argc < 2) {
		print_overview(stderr);
		return EXIT_USAGE;
	}
	for (const struct command *command = commands; command->name; command++)
		if (strcmp(argv[1], command->name) == 0)
			return command->run(argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_overview(stdout);
		return finish_output();
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("cropring %s\n", CROPRING_VERSION);
		return finish_output();
	}
	return refuse_command(argv[1]);
}
