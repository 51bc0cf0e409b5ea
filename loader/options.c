/* options.c - what `cropring serve` is told: its table of flags, and the rules that no single flag can know.  One thread, before any work. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "loader/options_internal.h"

#define TYPE_U32           uint32_t
#define TYPE_U64           uint64_t
#define TYPE_I32           int32_t
#define TYPE_QUANTITY      uint64_t
#define TYPE_SLOTS         uint32_t
#define TYPE_SIZE          uint32_t
#define TYPE_REAL          double
#define TYPE_PAIR          double
#define TYPE_VECTOR        float
#define TYPE_CHOICE        unsigned int
#define TYPE_CHOSEN_NUMBER uint32_t
#define TYPE_SWITCH        bool
#define TYPE_LEVEL         int
#define TYPE_TEXT          const char *
#define TYPE_NUMBERS       const char *
#define TYPE_RING_NAME     const char *
#define TYPE_SOCKET_PATH   const char *

/* clang-format off */
#define HAS_TYPE(field, type) _Generic(&((struct options *)0)->field, type *: true, default: false)
/* clang-format on */

#define FLAG(id, group, letter, name, kind, field, ...)                                                                            \
	static_assert(HAS_TYPE(field, TYPE_##kind), "--" name ": type of its field");
#include "loader/options_table.h"
#undef FLAG

const struct options_flag options_flags[OPTION_COUNT] = {
#define FLAG(id, group_name, letter_, long_name, kind_, field, initial, limits, value_name, sentence)                              \
	[OPTION_##id] = {                                                                                                          \
		.group = group_name,                                                                                               \
		.name = long_name,                                                                                                 \
		.variable = "CROPRING_" #id,                                                                                       \
		.letter = letter_,                                                                                                 \
		.kind = KIND_##kind_,                                                                                              \
		.offset_bytes = offsetof(struct options, field),                                                                   \
		.default_text = initial,                                                                                           \
		.value = value_name,                                                                                               \
		.help = sentence,                                                                                                  \
		limits,                                                                                                            \
	},
#include "loader/options_table.h"
#undef FLAG
};

static const char help_head[] =
	"Usage: cropring serve [FLAG]... SOURCE\n"
	"\n"
	"Reads, decodes and crops the images of SOURCE and keeps a ring of ready batches in shared memory,\n"
	"from which training processes take them without a copy: cropring.attach(\"NAME\") in Python,\n"
	"shmring_attach() in C.\n"
	"\n"
	"SOURCE is a folder with a sub-folder for each class, as in torchvision's ImageFolder, or with\n"
	"images alone, which have the label -1; a manifest (.csv, .tsv, .jsonl), or a folder with a\n"
	"metadata.csv; tar shards ('data-{0000..0099}.tar', quoted, or a folder of them); a pack that\n"
	"`cropring pack` made; or an index that --index kept.\n"
	"\n"
	"Examples:\n"
	"  cropring serve photos/train --ring train --epochs 90 --seed 7\n"
	"  cropring serve photos/val --ring val --crop center --no-shuffle --hflip 0 --tail partial\n"
	"  cropring serve photos/train --ring r0 --rank 0 --world-size 8 --threads 6 --nice 5\n"
	"  cropring serve boxes.csv --crop box --size 128\n"
	"  cropring serve photos/train --dtype float16 --layout nchw --mean 0.485,0.456,0.406 \\\n"
	"                 --std 0.229,0.224,0.225\n"
	"\n"
	"Defaults are in [brackets].\n";

static const char help_tail[] =
	"\n"
	"  -h, --help                   print this and exit\n"
	"  -V, --version                print the version and exit\n"
	"\n"
	"Environment:\n"
	"  Each flag can also be set by a variable, its name in capitals after CROPRING_, as in\n"
	"  CROPRING_BATCH_SIZE=64 or CROPRING_SHUFFLE=no.  Flags win over variables; an empty one is none.\n"
	"\n"
	"Exit codes:\n"
	"  0      done\n"
	"  1      failed\n"
	"  2      a flag, a variable or SOURCE is missing or wrong\n"
	"  3      bad data under --on-error stop\n"
	"  128+n  ended by signal n\n";

const struct options_command options_serve = {
	.flags = options_flags,
	.flag_count = OPTION_COUNT,
	.help_head = help_head,
	.help_tail = help_tail,
};

static struct options_flag flag_like(const struct options_flag *own, const struct options_flag *served, size_t options_at_bytes)
{
	struct options_flag flag = *served;

	flag.group = own->group;
	flag.variable = NULL;
	flag.offset_bytes = options_at_bytes + served->offset_bytes;
	flag.name = own->name ? own->name : served->name;
	flag.letter = own->letter ? own->letter : served->letter;
	flag.default_text = own->default_text ? own->default_text : served->default_text;
	flag.choices = own->choices ? own->choices : served->choices;
	flag.help = own->help ? own->help : served->help;
	return flag;
}

void options_from_rows(struct options_flag *table, const struct options_row *rows, size_t count, size_t options_at_bytes)
{
	for (size_t i = 0; i < count; i++)
		table[i] = rows[i].like == OPTIONS_OWN ? rows[i].flag
		                                       : flag_like(&rows[i].flag, &options_flags[rows[i].like], options_at_bytes);
}

static bool was_given(const struct options_line *line, size_t flag)
{
	return line->text[flag] || options_variable_text(&options_flags[flag]);
}

/* A flag on the command line that could not change anything is a mistake; a variable may be meant for other runs. */
static int check_idle_flags(const struct options_line *line, const struct options *options, struct err *err)
{
	static const struct {
		size_t flag;
		enum crop_rule crop;
		const char *needs;
	} tied[] = {
		{OPTION_SCALE, CROP_RANDOM_RESIZED, "random-resized"},
		{OPTION_RATIO, CROP_RANDOM_RESIZED, "random-resized"},
		{OPTION_SHORT_SIDE, CROP_CENTER, "center"},
	};

	bool any_rule = options->requests == REQUESTS_PATHS; /* each row may have another */

	for (size_t i = 0; i < sizeof tied / sizeof tied[0]; i++) {
		if (line->text[tied[i].flag] && options->crop != tied[i].crop && !any_rule)
			return err_fail(err, -EINVAL, "--%s is for --crop %s only; leave it out, or choose that crop",
			                options_flags[tied[i].flag].name, tied[i].needs);
	}
	return 0;
}

static int check_together(struct options *options, struct err *err)
{
	uint32_t larger_px = options->height_px > options->width_px ? options->height_px : options->width_px;

	if (options->rank >= options->world_size)
		return err_fail(err, -EINVAL, "--rank %u is not below --world-size %u; ranks count from 0", options->rank,
		                options->world_size);
	if (options->lane_ranks > 1 && (options->share != SHMRING_LANES || options->readers != options->lane_ranks))
		return err_fail(err, -EINVAL, "--lane-ranks %u needs --share lanes and --readers %u: a lane for each rank",
		                options->lane_ranks, options->lane_ranks);
	if (options->lane_ranks > options->world_size - options->rank)
		return err_fail(err, -EINVAL, "--rank %u and --lane-ranks %u go beyond --world-size %u", options->rank,
		                options->lane_ranks, options->world_size);
	if (options->weights && !options->shuffle)
		return err_fail(err, -EINVAL, "--weights draws samples at random: leave --no-shuffle out");
	if (options->normalise && options->dtype == CONVERT_UINT8)
		return err_fail(err, -EINVAL,
		                "--mean and --std need --dtype float32 or float16; with uint8, pixels stay as they are");
	if (options->slots > 0 && options->slots <= options->readers)
		return err_fail(
			err, -EINVAL,
			"--slots %u is too few for --readers %u: each keeps a batch while it asks for the next, and one is being "
			"filled; give %u or more",
			options->slots, options->readers, options->readers + 1);
	if (options->stalled_reader == STALLED_EXPEL && options->share != SHMRING_BROADCAST)
		return err_fail(err, -EINVAL,
		                "--stalled-reader expel is for --share broadcast only: without the reader, its lane would still "
		                "wait, and split does not wait");
	if (options->socket_path && !strchr(options->socket_path, '/'))
		return err_fail(err, -EINVAL, "--socket %s: a path with a '/' is expected, such as ./%s", options->socket_path,
		                options->socket_path);
	if (options->requests != REQUESTS_NONE && options->reader_fd < 0)
		return err_fail(err, -EINVAL, "--requests %s needs --reader-fd: only the process that started this one can ask",
		                options->requests == REQUESTS_SAMPLES ? "samples" : "paths");
	if (options->requests == REQUESTS_PATHS && options->targets) /* which are told by the number of a sample */
		return err_fail(err, -EINVAL, "--targets goes with samples of a SOURCE; files that are named one by one have none");
	if (!options->short_side_px) /* to the nearest pixel: 256 for 224, 342 for 299 */
		options->short_side_px = (larger_px * 8 + 3) / 7;
	if ((options->crop == CROP_CENTER || options->requests == REQUESTS_PATHS) && options->short_side_px < larger_px)
		return err_fail(err, -EINVAL, "--short-side %u is smaller than the %ux%u of --size; raise it to %u or more",
		                options->short_side_px, options->height_px, options->width_px, larger_px);
	return 0;
}

/* Looked for by itself, so that whatever else is wrong with the command line, the parent learns it over this socket. */
static int find_reader_fd(int argc, char **argv)
{
	static const char name[] = "--reader-fd";
	const size_t length = sizeof name - 1;
	struct options found = {.reader_fd = -1};

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const char *text = NULL;

		if (!strncmp(argv[i], name, length) && argv[i][length] == '=')
			text = argv[i] + length + 1;
		else if (!strcmp(argv[i], name) && i + 1 < argc)
			text = argv[i + 1];
		if (text)
			(void)options_value_set(&found, &options_flags[OPTION_READER_FD], name, text,
			                        NULL); /* refused later, with all flags */
	}
	return found.reader_fd;
}

int options_parse(struct options *options, int argc, char **argv, struct err *err)
{
	struct options_line line;
	int rc;

	*options = (struct options){.std = {1, 1, 1}, .reader_fd = find_reader_fd(argc, argv)};
	rc = options_read(&options_serve, argc, argv, &line, options, err);
	if (rc)
		return rc;
	if (line.argument_count == 0 || !*line.arguments[0])
		return err_fail(err, -EINVAL, "no SOURCE was given: name a folder of images, a manifest or tar shards");
	if (line.argument_count > 1)
		return err_fail(err, -EINVAL, "one SOURCE is served, but both '%.100s' and '%.100s' were given", line.arguments[0],
		                line.arguments[1]);
	options->source = line.arguments[0];
	options->normalise = was_given(&line, OPTION_MEAN) || was_given(&line, OPTION_STD);
	rc = check_idle_flags(&line, options, err);
	return rc ? rc : check_together(options, err);
}
