/* crop_flags.c - argv in, struct crop_flags out.  One thread, before any work. */
#include "loader/shell/crop_flags.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/options_internal.h"

enum { OWN = OPTIONS_OWN };

#define AT(field) .offset_bytes = offsetof(struct crop_flags, field)

/* Of the worker's flags, what stands here differs from its table; none of these flags has a variable. */
static const struct options_row rows[] = {
	/* clang-format off */
	{OWN, {.group = "Window", .name = "x", .letter = 'x', .kind = KIND_TEXT, AT(x_text), .default_text = "0", .value = "SHARE,...",
	       .help = "where windows begin, as a share of the image's width: for all, or for each of PATHS"}},
	{OWN, {.group = "Window", .name = "y", .letter = 'y', .kind = KIND_TEXT, AT(y_text), .default_text = "0", .value = "SHARE,...",
	       .help = "the same, of its height"}},
	{OWN, {.group = "Window", .name = "scale", .kind = KIND_TEXT, AT(scale_text), .default_text = "1", .value = "SHARE,...",
	       .help = "how large windows are, as a share of each side"}},
	{OPTION_MAX_IMG_PERCENT, {.group = "Window", .letter = 'm', .help = "no window takes a larger share of each side, whatever --scale says"}},

	{OWN, {.group = "Output", .name = "output", .letter = 'o', .kind = KIND_TEXT, AT(output), .default_text = "", .value = "FILE",
	       .help = "what to write: a contact sheet (.png) or an array (.npy)"}},
	{OPTION_SIZE, {.group = "Output", .name = "window", .letter = 'w', .help = "height and width of every crop in the output, in pixels"}},
	{OPTION_CHANNELS, {.group = "Output", .letter = 'c'}},
	{OWN, {.group = "Output", .name = "columns", .kind = KIND_U32, AT(columns), .default_text = "0", .minimum = "0", .maximum = "65535", .value = "N",
	       .help = "of the contact sheet; 0: nearly square"}},

	{OWN, {.group = "Images", .name = "null", .letter = '0', .kind = KIND_SWITCH, AT(ends_in_nul), .default_text = "off",
	       .help = "paths on standard input end in NUL, and stand alone"}},
	{OPTION_RESAMPLE, {.group = "Images", .letter = 'r'}},
	{OPTION_FIDELITY, {.group = "Images"}},
	{OPTION_ORIENTATION, {.group = "Images"}},

	{OPTION_THREADS, {.group = "Work"}},
	{OPTION_ON_ERROR, {.group = "Faults", .choices = "zero|stop", .default_text = "zero", .help = "after a bad file, go on with zeros in its place, or end"}},
	{OPTION_MAX_PIXELS, {.group = "Faults"}},
	{OPTION_MAX_FILE_BYTES, {.group = "Faults"}},
	{OPTION_ITEM_TIMEOUT_MS, {.group = "Faults"}},
	{OPTION_SANDBOX, {.group = "Faults", .help = "be able to read files and nothing else: as far as the kernel helps, fully or not at all"}},
	{OPTION_VERBOSE, {.group = "Report"}},
	{OPTION_QUIET, {.group = "Report"}},
	/* clang-format on */
};

enum { FLAG_COUNT = sizeof rows / sizeof rows[0] };

static_assert(sizeof rows / sizeof rows[0] <= OPTIONS_FLAG_LIMIT, "flags");

static const char help_head[] =
	"Usage: cropring crop [FLAG]... [PATH]...\n"
	"\n"
	"Cuts a window out of each image and resizes it: the images as a contact sheet (PNG) or as a NumPy\n"
	"array (N, height, width, channels) of uint8.\n"
	"\n"
	"A window begins at x of the image's width and y of its height, takes the share `scale` of each\n"
	"side, at least 2 pixels, and is moved left and up as far as it must be to lie in the image.\n"
	"\n"
	"Without a PATH, or for -, standard input has them: one on each line, alone or as\n"
	"PATH<TAB>X<TAB>Y<TAB>SCALE, where an empty field stands for the flag's value.\n"
	"\n"
	"Examples:\n"
	"  cropring crop photos/*.jpg --scale 0.5 --x 0.25 --y 0.25 -o sheet.png\n"
	"  cropring crop a.png b.png --x 0,0.5 --scale 0.25 -w 32 -o crops.npy\n"
	"  find photos -name '*.jpg' -print0 | cropring crop -0 -o crops.npy\n"
	"  cut -f 1-4 windows.tsv | cropring crop -w 96x64 --channels 1 -o crops.npy\n"
	"\n"
	"Defaults are in [brackets].\n";

static const char help_tail[] = "\n"
				"  -h, --help                   print this and exit\n"
				"  -V, --version                print the version and exit\n"
				"\n"
				"The CROPRING_ variables of `cropring serve` mean nothing here.\n"
				"\n"
				"Exit codes:\n"
				"  0      done\n"
				"  1      failed\n"
				"  2      a flag or a line of standard input is missing or wrong\n"
				"  3      some files were bad: their crops are black, or with --on-error stop there is no output\n"
				"  128+n  ended by signal n\n";

int crop_flags_read_share(const char *origin, const char *text, float *share, struct err *err)
{
	static const struct options_flag flag = {.kind = KIND_REAL, .minimum = "0", .maximum = "1"};
	double value;
	int rc = options_value_set(&value, &flag, origin, text, err);

	if (rc == 0)
		*share = (float)value;
	return rc;
}

/* "0.5" or "0,0.25,0.5". */
static int read_shares(const char *origin, const char *text, struct crop_shares *shares, struct err *err)
{
	char *copy = strdup(text), *rest = copy;
	int rc = 0;

	shares->count = 1;
	for (const char *at = text; *at; at++)
		shares->count += *at == ',';
	shares->value = calloc(shares->count, sizeof *shares->value);
	if (!copy || !shares->value)
		rc = err_fail(err, -ENOMEM, "out of memory for %zu numbers", shares->count);
	for (size_t i = 0; rc == 0 && i < shares->count; i++)
		rc = crop_flags_read_share(origin, strsep(&rest, ","), &shares->value[i], err);
	free(copy);
	return rc;
}

/* What the worker is told under its own names; verbosity is not. */
static int make_words(struct crop_flags *flags, const struct options_line *line, struct err *err)
{
	const struct options_flag *table = crop_flags_command()->flags;

	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (rows[i].like == OWN || table[i].kind == KIND_LEVEL)
			continue;
		assert(flags->word_count < CROP_WORD_LIMIT);
		if (asprintf(&flags->word[flags->word_count], "--%s=%s", options_flags[rows[i].like].name,
		             line->text[i] ? line->text[i] : table[i].default_text) < 0)
			return err_fail(err, -ENOMEM, "out of memory for the command line");
		flags->word_count++;
	}
	return 0;
}

static int take_paths(struct crop_flags *flags, const struct options_line *line, struct err *err)
{
	bool from_stdin = line->argument_count == 1 && strcmp(line->arguments[0], "-") == 0;

	flags->paths = line->arguments;
	flags->path_count = from_stdin ? 0 : line->argument_count;
	for (size_t i = 0; i < flags->path_count; i++) {
		if (!*flags->paths[i])
			return err_fail(err, -EINVAL, "path %zu is empty", i + 1);
		if (strcmp(flags->paths[i], "-") == 0)
			return err_fail(err, -EINVAL, "- stands for the paths of standard input, and cannot be one of several");
	}
	return 0;
}

static bool ends_in(const char *name, const char *ending)
{
	size_t length = strlen(name), ending_length = strlen(ending);

	return length > ending_length && strcasecmp(name + length - ending_length, ending) == 0;
}

static int check_count(const char *name, const struct crop_shares *shares, size_t path_count, struct err *err)
{
	if (shares->count == 1 || shares->count == path_count)
		return 0;
	if (path_count == 0)
		return err_fail(err, -EINVAL,
		                "--%s: %zu numbers need as many PATHS on the command line; lines of standard input have their own",
		                name, shares->count);
	return err_fail(err, -EINVAL, "--%s: %zu numbers for %zu paths; give one for each, or one for all", name, shares->count,
	                path_count);
}

/* What no single flag can know. */
static int check_together(const struct crop_flags *flags, struct err *err)
{
	int rc;

	if (!flags->output)
		return err_fail(err, -EINVAL, "where to? say -o sheet.png or -o crops.npy");
	if (!ends_in(flags->output, ".png") && !ends_in(flags->output, ".npy"))
		return err_fail(err, -EINVAL, "--output: '%.200s' ends in neither .png (a contact sheet) nor .npy (an array)",
		                flags->output);
	if (flags->columns && ends_in(flags->output, ".npy"))
		return err_fail(err, -EINVAL, "--columns is for a contact sheet; leave it out, or write a .png");
	if (flags->ends_in_nul && flags->path_count)
		return err_fail(err, -EINVAL, "--null is for paths from standard input, but PATHS were given");
	rc = check_count("x", &flags->x, flags->path_count, err);
	if (rc == 0)
		rc = check_count("y", &flags->y, flags->path_count, err);
	if (rc == 0)
		rc = check_count("scale", &flags->scale, flags->path_count, err);
	if (rc == 0 && flags->path_count == 0 && isatty(STDIN_FILENO))
		rc = err_fail(err, -EINVAL, "no PATHS were given, and standard input is a terminal");
	return rc;
}

const struct options_command *crop_flags_command(void)
{
	static struct options_flag table[FLAG_COUNT];
	static const struct options_command command = {
		.flags = table, .flag_count = FLAG_COUNT, .help_head = help_head, .help_tail = help_tail};

	options_from_rows(table, rows, FLAG_COUNT, offsetof(struct crop_flags, worker));
	return &command;
}

int crop_flags_parse(struct crop_flags *flags, int argc, char **argv, struct err *err)
{
	struct options_line line;
	int rc;

	*flags = (struct crop_flags){0};
	rc = options_read(crop_flags_command(), argc, argv, &line, flags, err);
	if (rc == 0)
		rc = read_shares("--x", flags->x_text, &flags->x, err);
	if (rc == 0)
		rc = read_shares("--y", flags->y_text, &flags->y, err);
	if (rc == 0)
		rc = read_shares("--scale", flags->scale_text, &flags->scale, err);
	if (rc == 0)
		rc = take_paths(flags, &line, err);
	if (rc == 0)
		rc = check_together(flags, err);
	return rc < 0 ? rc : make_words(flags, &line, err);
}

void crop_flags_close(struct crop_flags *flags)
{
	for (uint32_t i = 0; i < flags->word_count; i++)
		free(flags->word[i]);
	free(flags->x.value);
	free(flags->y.value);
	free(flags->scale.value);
}
