/*
 * render_one.c - what one file costs a fresh process: the worker's stages 3 and 4 on its bytes, without the ring around them.
 *
 *   render_one [FLAG]... FILE      flags of `cropring serve`; the file takes the place of the source
 *
 * Prints one line: status, milliseconds of CPU time, peak kilobytes of this process, the codec's reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "loader/options.h"
#include "loader/run/render.h"

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "render_one: %s\n", what);
	exit(2);
}

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* VmHWM; not ru_maxrss, which begins with that of the process that started this one. */
static long peak_kb(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[256];
	long kb = -1;

	while (file && fgets(line, sizeof line, file)) {
		if (sscanf(line, "VmHWM: %ld kB", &kb) == 1)
			break;
	}
	if (file)
		fclose(file);
	return kb;
}

/* In memory of exactly its size, for the sanitizers. */
static uint8_t *read_file(const char *path, size_t *byte_count)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes;
	long size;

	if (!file || fseek(file, 0, SEEK_END) < 0 || (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) < 0)
		give_up(path);
	*byte_count = (size_t)size;
	bytes = malloc(*byte_count ? *byte_count : 1);
	if (!bytes || fread(bytes, 1, *byte_count, file) != *byte_count)
		give_up(path);
	fclose(file);
	return bytes;
}

int main(int argc, char **argv)
{
	int32_t box[4], source_size[2];
	struct render_times times;
	struct renderer *renderer;
	struct options options;
	enum item_status status;
	struct render_spec spec;
	struct crop_ask ask;
	struct render_row row;
	uint8_t *bytes, flipped;
	size_t byte_count;
	struct err err;
	double begin_ms, spent_ms;

	if (options_parse(&options, argc, argv, &err) < 0)
		give_up(err.text);
	render_spec_init(&spec, &options);
	row = (struct render_row){
		.image = calloc(1, spec.image_bytes), .box = box, .source_size = source_size, .flipped = &flipped};
	renderer = renderer_open(&spec);
	bytes = read_file(options.source, &byte_count);
	if (!row.image || !renderer)
		give_up("no memory");

	struct file_bytes file = file_bytes_whole(bytes, byte_count);

	ask = crop_usual_ask(&spec.crop, 0, 0);
	begin_ms = cpu_ms();
	status = renderer_run(renderer, &file, &ask, &row, &times);
	spent_ms = cpu_ms() - begin_ms;
	printf("%s\t%.1f\t%ld\t%s\n", item_status_name(status), spent_ms, peak_kb(), renderer_reason(renderer));
	renderer_close(renderer);
	free(row.image);
	free(bytes);
	return 0;
}
