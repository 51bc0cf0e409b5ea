/* pack_flags.c - argv in, struct pack_flags out.  One thread, before any work. */
#include "loader/shell/pack_flags.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "loader/options_internal.h"

enum { OWN = OPTIONS_OWN };

#define AT(field)            .offset_bytes = offsetof(struct pack_flags, field)
#define BETWEEN(least, most) .minimum = (least), .maximum = (most)

static const struct options_row rows[] = {
	/* clang-format off */
	{OPTION_INDEX, {.group = "Source"}},
	{OPTION_ROOT, {.group = "Source"}},
	{OPTION_TARGETS, {.group = "Source", .help = "also pack a second picture of each sample, such as a segmentation mask: DIR/NAME.png for SOURCE/NAME.jpg; "
	       "in tar files the extension of their members, such as seg.png"}},

	{OWN, {.group = "Pack", .name = "segment-px", .kind = KIND_TEXT, AT(segment_text), .default_text = "auto", .value = "PX",
	       .help = "JPEG: about so many pixels of a row between two places where one can begin to decode; auto: by the image's size; 0: none"}},
	{OWN, {.group = "Pack", .name = "png-rows", .kind = KIND_TEXT, AT(rows_text), .default_text = "auto", .value = "ROWS",
	       .help = "PNG: the same, in rows"}},
	{OWN, {.group = "Pack", .name = "png-level", .kind = KIND_U32, AT(png_level), .default_text = "6", BETWEEN("1", "9"), .value = "N",
	       .help = "PNG: how hard to compress"}},
	{OWN, {.group = "Pack", .name = "bmp-to-png", .kind = KIND_SWITCH, AT(bmp_to_png), .default_text = "off",
	       .help = "store each BMP as the smaller PNG of the same pixels"}},
	{OWN, {.group = "Pack", .name = "keep-metadata", .kind = KIND_SWITCH, AT(keep_metadata), .default_text = "off",
	       .help = "keep EXIF, colour profiles and comments; without it only the orientation stays"}},
	{OWN, {.group = "Pack", .name = "verify", .kind = KIND_CHOICE, AT(verify), .default_text = "all", .choices = "all|sample|none", .value = "RULE",
	       .help = "decode what was packed and compare it with the source, pixel for pixel: each image, one in 16, or never"}},
	{OWN, {.group = "Pack", .name = "shard-bytes", .kind = KIND_QUANTITY, AT(shard_bytes), .default_text = "0", BETWEEN("0", "1024G"), .value = "BYTES",
	       .help = "put images into files of about so many bytes beside OUT; 0: all into OUT; K, M, G are powers of 1024"}},

	{OWN, {.group = "Work", .name = "resume", .kind = KIND_SWITCH, AT(resume), .default_text = "off",
	       .help = "go on where OUT.partial was interrupted; without one, begin"}},
	{OPTION_THREADS, {.group = "Work", .help = "threads that pack; 0: what CPU affinity and cgroup quota allow"}},
	{OPTION_NICE, {.group = "Work", .help = "lower priority, so that others get the CPU first"}},
	{OWN, {.group = "Work", .name = "memory-bytes", .kind = KIND_QUANTITY, AT(memory_bytes), .default_text = "2G", BETWEEN("16M", "1024G"), .value = "BYTES",
	       .help = "memory for images, all threads together; an image that alone needs more is stored as it is; K, M, G are powers of 1024"}},

	{OWN, {.group = "Faults", .name = "skip-unreadable", .kind = KIND_SWITCH, AT(skip_unreadable), .default_text = "off",
	       .help = "after a file that is missing, cannot be read or is too long, go on, with an empty image in its place; without it, end"}},
	{OPTION_MAX_PIXELS, {.group = "Faults", .help = "images with more pixels are stored as they are; K, M, G are powers of 1024"}},
	{OPTION_MAX_FILE_BYTES, {.group = "Faults", .help = "longer files cannot be read; K, M, G are powers of 1024"}},

	{OPTION_VERBOSE, {.group = "Report", .help = "say more, with times: which images were stored as they are"}},
	{OPTION_QUIET, {.group = "Report"}},
	{OPTION_LOG, {.group = "Report"}},
	/* clang-format on */
};

enum { FLAG_COUNT = sizeof rows / sizeof rows[0] };

static_assert(sizeof rows / sizeof rows[0] <= OPTIONS_FLAG_LIMIT, "flags");

static const char help_head[] =
	"Usage: cropring pack [FLAG]... SOURCE OUT.pack\n"
	"\n"
	"Packs the images of SOURCE into one file, or several, without loss, so that any region of any image is\n"
	"read and decoded in time that goes with the region and not with the image.  What reads SOURCE reads\n"
	"the pack: same samples, same order, same labels, same pixels.\n"
	"\n"
	"JPEGs get restart markers, their coefficients untouched; PNGs are compressed again in segments.  What\n"
	"cannot be converted without loss is stored as it is, and counted.  SOURCE stays as it is.\n"
	"\n"
	"OUT.pack appears when it is whole.  Until then all lies in the folder OUT.pack.partial, from which\n"
	"--resume goes on after any interruption, to the same bytes.\n"
	"\n"
	"SOURCE is all that `cropring serve` takes: a folder, a manifest, tar files, an index, another pack.\n"
	"\n"
	"Examples:\n"
	"  cropring pack photos/train train.pack\n"
	"  cropring pack 'data-{0000..0099}.tar' data.pack --shard-bytes 4G\n"
	"  cropring pack boxes.csv boxes.pack --root photos --segment-px 96\n"
	"  cropring pack photos/train train.pack --resume\n"
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
				"  1      failed; mend what is wrong, and go on with --resume\n"
				"  2      a flag, SOURCE or OUT is missing or wrong\n"
				"  3      a file of SOURCE cannot be read\n"
				"  128+n  ended by signal n; go on with --resume\n";

/* "auto" is 0, and 0 is PACK_NO_SEGMENTS. */
static int read_segments(const char *flag, const char *text, uint64_t most, uint32_t *value, struct err *err)
{
	uint64_t number;

	*value = 0;
	if (strcmp(text, "auto") == 0)
		return 0;
	if (!options_value_whole(text, false, &number) || number > most)
		return err_fail(err, -EINVAL, "--%s: '%.100s' is not auto, or a whole number between 0 and %llu", flag, text,
		                (unsigned long long)most);
	*value = number == 0 ? PACK_NO_SEGMENTS : (uint32_t)number;
	return 0;
}

static int take_arguments(struct pack_flags *flags, const struct options_line *line, struct err *err)
{
	static const char *const missing[] = {"no SOURCE was given: name a folder of images, a manifest, tar files or a pack",
	                                      "no OUT was given: what is the pack to be called?"};

	for (size_t i = 0; i < 2; i++)
		if (line->argument_count <= i || !*line->arguments[i])
			return err_fail(err, -EINVAL, "%s", missing[i]);
	if (line->argument_count > 2)
		return err_fail(err, -EINVAL, "one SOURCE and one OUT are expected, but '%.200s' was given as well",
		                line->arguments[2]);
	flags->like.source = line->arguments[0];
	flags->out = line->arguments[1];
	return 0;
}

const struct options_command *pack_flags_command(void)
{
	static struct options_flag table[FLAG_COUNT];
	static const struct options_command command = {
		.flags = table, .flag_count = FLAG_COUNT, .help_head = help_head, .help_tail = help_tail};

	options_from_rows(table, rows, FLAG_COUNT, offsetof(struct pack_flags, like));
	return &command;
}

int pack_flags_parse(struct pack_flags *flags, int argc, char **argv, struct err *err)
{
	struct options_line line;
	int rc;

	*flags = (struct pack_flags){0};
	rc = options_read(pack_flags_command(), argc, argv, &line, flags, err);
	rc = rc ? rc : read_segments("segment-px", flags->segment_text, 65535, &flags->segment_px, err);
	rc = rc ? rc : read_segments("png-rows", flags->rows_text, 65535, &flags->png_rows, err);
	return rc ? rc : take_arguments(flags, &line, err);
}
