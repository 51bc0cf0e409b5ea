/* crop_flags.c - argv in, struct crop_flags out.  One thread, before any work. */
#include "loader/shell/crop_flags.h"

#include <argp.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/options_internal.h"

/* Flags of the worker, which is told them under their own names. */
static const struct {
	enum options_id id;
	int key;
	const char *name, *help; /* NULL: the table's */
	const char *choices;
	const char *initial;
} shared[] = {
	{OPTION_SIZE, 'w', "window", "height and width of every crop in the output, in pixels", NULL, "224"},
	{OPTION_CHANNELS, 'c', NULL, NULL, NULL, "3"},
	{OPTION_MAX_IMG_PERCENT, 'm', NULL, "no crop takes a larger share of each side, whatever --scale says", NULL, "1"},
	{OPTION_RESAMPLE, 'r', NULL, NULL, NULL, "bilinear"},
	{OPTION_FIDELITY, 256, NULL, NULL, NULL, "exact"},
	{OPTION_ORIENTATION, 257, NULL, NULL, NULL, "raw"},
	{OPTION_ON_ERROR, 258, NULL, "after a bad file, go on with zeros in its place, or end", "zero|stop", "zero"},
	{OPTION_THREADS, 'j', NULL, NULL, NULL, "0"},
	{OPTION_MAX_PIXELS, 259, NULL, NULL, NULL, "268435456"},
	{OPTION_MAX_FILE_BYTES, 260, NULL, NULL, NULL, "268435456"},
	{OPTION_ITEM_TIMEOUT_MS, 261, NULL, NULL, NULL, "30000"},
	{OPTION_SANDBOX, 262, NULL, "be able to read files and nothing else: as far as the kernel helps, fully or not at all", NULL,
         "auto"},
};

enum { SHARED_COUNT = sizeof shared / sizeof shared[0], KEY_SCALE = 300, KEY_COLUMNS, HELP_BYTES = 400 };

static_assert(sizeof shared / sizeof shared[0] <= CROP_WORD_LIMIT, "words for the worker");

static const char before_options[] = "Cuts a window out of each image and resizes it: the images as a contact sheet (PNG) or as a "
				     "NumPy array (N, height, width, "
				     "channels) of uint8.";

static const char after_options[] = "A window begins at x of the image's width and y of its height, takes the share `scale` of "
                                    "each side, at least 2 pixels, and is "
				    "moved left and up as far as it must be to lie in the image.\n"
				    "\n"
				    "Without PATHS, or for -, standard input has them: one on each line, alone or as "
                                    "PATH<TAB>X<TAB>Y<TAB>SCALE, where an empty "
				    "field stands for the flag's value.\n"
				    "\n"
				    "Examples:\n"
				    "  cropring crop photos/*.jpg --scale 0.5 --x 0.25 --y 0.25 -o sheet.png\n"
				    "  cropring crop a.png b.png --x 0,0.5 --scale 0.25 -w 32 -o crops.npy\n"
				    "  find photos -name '*.jpg' -print0 | cropring crop -0 -o crops.npy\n"
				    "  cut -f 1-4 windows.tsv | cropring crop -w 96x64 --channels 1 -o crops.npy\n"
				    "\n"
				    "Exit codes: 0 done; 1 failed; 2 wrong usage or input; 3 some files were bad: their crops are "
                                    "black, or with --on-error stop there "
				    "is no output; 128 + N ended by signal N.";

int crop_flags_read_share(const char *origin, const char *text, float *share, struct err *err)
{
	static const struct options_flag flag = {
		.kind = KIND_REAL, .offset_bytes = offsetof(struct options, max_img_percent), .minimum = "0", .maximum = "1"};
	struct options options = {.channels = 3};
	int rc = options_value_set(&options, &flag, origin, text, err);

	if (rc == 0)
		*share = (float)options.max_img_percent;
	return rc;
}

/* "0.5" or "0,0.25,0.5". */
static int read_shares(const char *origin, char *text, struct crop_shares *shares, struct err *err)
{
	size_t count = 1;

	for (const char *at = text; *at; at++)
		count += *at == ',';
	free(shares->value); /* the last one counts */
	shares->value = calloc(count, sizeof *shares->value);
	if (!shares->value)
		return err_fail(err, -ENOMEM, "out of memory for %zu numbers", count);
	for (shares->count = 0; shares->count < count; shares->count++) {
		const char *number = strsep(&text, ",");
		int rc = crop_flags_read_share(origin, number, &shares->value[shares->count], err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int set_shared(struct crop_flags *flags, size_t nth, const char *text, struct err *err)
{
	struct options_flag flag = options_flags[shared[nth].id];
	struct options options = {.channels = 3};
	char origin[40];
	int rc;

	if (shared[nth].choices)
		flag.choices = shared[nth].choices;
	snprintf(origin, sizeof origin, "--%s", shared[nth].name ? shared[nth].name : flag.name);
	rc = options_value_set(&options, &flag, origin, text, err);
	if (rc < 0)
		return rc;
	if (shared[nth].id == OPTION_SIZE) {
		flags->height_px = options.height_px;
		flags->width_px = options.width_px;
	} else if (shared[nth].id == OPTION_CHANNELS) {
		flags->channels = options.channels;
	}
	free(flags->word[nth]);
	if (asprintf(&flags->word[nth], "--%s=%s", flag.name, text) < 0) {
		flags->word[nth] = NULL;
		return err_fail(err, -ENOMEM, "out of memory for the command line");
	}
	return 0;
}

static int set_columns(struct crop_flags *flags, const char *text, struct err *err)
{
	uint64_t columns;

	if (!options_value_whole(text, false, &columns) || columns < 1 || columns > UINT16_MAX)
		return err_fail(err, -EINVAL, "--columns: '%.100s' is not a whole number between 1 and %d", text, UINT16_MAX);
	flags->columns = (uint32_t)columns;
	return 0;
}

static bool ends_in(const char *name, const char *ending)
{
	size_t length = strlen(name), ending_length = strlen(ending);

	return length > ending_length && strcasecmp(name + length - ending_length, ending) == 0;
}

/* What no single flag can know. */
static int check_together(const struct crop_flags *flags, struct err *err)
{
	static const char *const names[] = {"x", "y", "scale"};
	const struct crop_shares *const lists[] = {&flags->x, &flags->y, &flags->scale};

	if (!flags->output)
		return err_fail(err, -EINVAL, "where to? say -o sheet.png or -o crops.npy");
	if (!ends_in(flags->output, ".png") && !ends_in(flags->output, ".npy"))
		return err_fail(err, -EINVAL, "--output: '%.200s' ends in neither .png (a contact sheet) nor .npy (an array)",
		                flags->output);
	if (flags->columns && ends_in(flags->output, ".npy"))
		return err_fail(err, -EINVAL, "--columns is for a contact sheet; leave it out, or write a .png");
	if (flags->ends_in_nul && flags->path_count)
		return err_fail(err, -EINVAL, "--null is for paths from standard input, but PATHS were given");
	for (size_t i = 0; i < 3; i++) {
		if (lists[i]->count < 2 || lists[i]->count == flags->path_count)
			continue;
		if (flags->path_count == 0)
			return err_fail(
				err, -EINVAL,
				"--%s: %zu numbers need as many PATHS on the command line; lines of standard input have their own",
				names[i], lists[i]->count);
		return err_fail(err, -EINVAL, "--%s: %zu numbers for %zu paths; give one for each, or one for all", names[i],
		                lists[i]->count, flags->path_count);
	}
	if (flags->path_count == 0 && isatty(STDIN_FILENO))
		return err_fail(err, -EINVAL, "no PATHS were given, and standard input is a terminal");
	return 0;
}

static int take_paths(struct crop_flags *flags, struct argp_state *state, struct err *err)
{
	flags->paths = state->argv + state->next;
	flags->path_count = (size_t)(state->argc - state->next);
	state->next = state->argc;
	for (size_t i = 0; i < flags->path_count; i++) {
		if (!*flags->paths[i])
			return err_fail(err, -EINVAL, "path %zu is empty", i + 1);
		if (strcmp(flags->paths[i], "-") == 0 && flags->path_count > 1)
			return err_fail(err, -EINVAL, "- stands for the paths of standard input, and cannot be one of several");
	}
	if (flags->path_count == 1 && strcmp(flags->paths[0], "-") == 0)
		flags->path_count = 0;
	return 0;
}

static error_t take(int key, char *argument, struct argp_state *state)
{
	struct crop_flags *flags = state->input;
	struct err err;
	int rc = 0;

	switch (key) {
	case 'h':
		argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
		break;
	case 'x':
		rc = read_shares("--x", argument, &flags->x, &err);
		break;
	case 'y':
		rc = read_shares("--y", argument, &flags->y, &err);
		break;
	case KEY_SCALE:
		rc = read_shares("--scale", argument, &flags->scale, &err);
		break;
	case 'o':
		flags->output = argument;
		break;
	case KEY_COLUMNS:
		rc = set_columns(flags, argument, &err);
		break;
	case '0':
		flags->ends_in_nul = true;
		break;
	case 'v':
		flags->verbosity = 1;
		break;
	case 'q':
		flags->verbosity = -1;
		break;
	case ARGP_KEY_ARGS:
		rc = take_paths(flags, state, &err);
		break;
	case ARGP_KEY_SUCCESS:
		rc = check_together(flags, &err);
		break;
	default:
		for (size_t i = 0; i < SHARED_COUNT; i++) {
			if (shared[i].key != key)
				continue;
			rc = set_shared(flags, i, argument, &err);
			goto set;
		}
		return ARGP_ERR_UNKNOWN;
	}
set:
	if (rc < 0)
		argp_error(state, "%s", err.text);
	return 0;
}

/* "TEXT (default: 224)". */
static void describe(struct argp_option *option, size_t nth, char *help)
{
	const struct options_flag *flag = &options_flags[shared[nth].id];
	char list[120] = "";

	if (flag->choices)
		options_value_list(shared[nth].choices ? shared[nth].choices : flag->choices, list, sizeof list);
	snprintf(help, HELP_BYTES, "%s%s%s (default: %s)", shared[nth].help ? shared[nth].help : flag->help, *list ? ": " : "",
	         list, shared[nth].initial);
	*option = (struct argp_option){.name = shared[nth].name ? shared[nth].name : flag->name,
	                               .key = shared[nth].key,
	                               .arg = flag->value,
	                               .doc = help,
	                               .group = 2};
}

int crop_flags_parse(struct crop_flags *flags, int argc, char **argv)
{
	static const struct argp_option own[] = {
		{"output", 'o', "FILE", 0, "what to write: a contact sheet (.png) or an array (.npy)", 1},
		{"x", 'x', "SHARE[,SHARE...]", 0,
	         "where windows begin, as a share of the image's width: for all, or for each of PATHS (default: 0)", 1},
		{"y", 'y', "SHARE[,SHARE...]", 0, "the same, of its height (default: 0)", 1},
		{"scale", KEY_SCALE, "SHARE[,SHARE...]", 0, "how large windows are, as a share of each side (default: 1)", 1},
		{"columns", KEY_COLUMNS, "N", 0, "of the contact sheet (default: nearly square)", 1},
		{"null", '0', NULL, 0, "paths on standard input end in NUL, and stand alone", 1},
		{"verbose", 'v', NULL, 0, "say more, with times", 3},
		{"quiet", 'q', NULL, 0, "say nothing but errors", 3},
		{NULL, 'h', NULL, OPTION_HIDDEN, NULL, -1},
	};
	enum { OWN_COUNT = sizeof own / sizeof own[0] };
	struct argp_option options[OWN_COUNT + SHARED_COUNT + 1] = {0};
	char help[SHARED_COUNT][HELP_BYTES], doc[sizeof before_options + sizeof after_options + 1];
	const struct argp argp = {.options = options, .parser = take, .args_doc = "[PATHS...]", .doc = doc};
	struct err err;

	*flags = (struct crop_flags){.word_count = SHARED_COUNT};
	memcpy(options, own, sizeof own);
	for (size_t i = 0; i < SHARED_COUNT; i++) {
		describe(&options[OWN_COUNT + i], i, help[i]);
		if (set_shared(flags, i, shared[i].initial, &err) < 0)
			return -ENOMEM; /* the initial values are right */
	}
	snprintf(doc, sizeof doc, "%s\v%s", before_options, after_options);
	return argp_parse(&argp, argc, argv, 0, NULL, flags) == 0 ? 0 : -ENOMEM;
}

void crop_flags_close(struct crop_flags *flags)
{
	for (uint32_t i = 0; i < flags->word_count; i++)
		free(flags->word[i]);
	free(flags->x.value);
	free(flags->y.value);
	free(flags->scale.value);
}
