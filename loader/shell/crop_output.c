/* crop_output.c - a file that appears whole or not at all. */
#include "loader/shell/crop_output.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/shell/npy_header.h"

static char part_path[PATH_MAX]; /* what a signal handler takes away; "": nothing */

static void take_away_and_end(int number)
{
	if (*part_path)
		(void)unlink(part_path);
	(void)raise(number); /* whose handler was reset when this one was called: the parent sees what ended us */
}

static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		struct sigaction action = {.sa_handler = take_away_and_end, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)}, before;

		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			(void)sigaction(numbers[i], &action, NULL);
	}
}

static int fail_to_write(const struct crop_output *output, struct err *err)
{
	int code = errno;

	return err_fail(err, -code, "%s cannot be written: %s", output->path, strerror(code));
}

/* At the begin with a count of 0, so that the file is never taken for another. */
static int write_npy_header(struct crop_output *output)
{
	uint8_t header[NPY_HEADER_BYTES];

	npy_header_make(header, output->count, output->sheet.height_px, output->sheet.width_px, output->sheet.channels);
	return fwrite(header, sizeof header, 1, output->file) == 1 ? 0 : -1;
}

int crop_output_open(struct crop_output *output, const struct crop_flags *flags, struct err *err)
{
	const char *slash = strrchr(flags->output, '/');
	int folder_bytes = slash ? (int)(slash + 1 - flags->output) : 0, length;
	struct stat found;

	*output = (struct crop_output){
		.path = flags->output,
		.is_sheet = strcasecmp(strrchr(flags->output, '.'), ".png") == 0,
		.sheet = {.height_px = flags->worker.height_px,
	                  .width_px = flags->worker.width_px,
	                  .channels = flags->worker.channels,
	                  .columns = flags->columns},
	};
	if (output->is_sheet && flags->path_count) {
		int rc = contact_sheet_check(&output->sheet, flags->path_count, err);

		if (rc < 0)
			return rc;
	}
	if (stat(output->path, &found) == 0 && !S_ISREG(found.st_mode))
		return err_fail(err, -EINVAL, "%s is there, and no ordinary file that could be replaced", output->path);
	length = snprintf(part_path, sizeof part_path, "%.*s.%s.%d.part", folder_bytes, output->path, output->path + folder_bytes,
	                  (int)getpid());
	if (length >= (int)sizeof part_path) {
		*part_path = '\0';
		errno = ENAMETOOLONG;
		return fail_to_write(output, err);
	}
	catch_signals();
	output->file = fopen(part_path, "wxe");
	if (!output->file) {
		*part_path = '\0';
		return fail_to_write(output, err);
	}
	return output->is_sheet || write_npy_header(output) == 0 ? 0 : fail_to_write(output, err);
}

int crop_output_add(struct crop_output *output, const uint8_t *pixels, uint64_t count, struct err *err)
{
	const struct contact_sheet *sheet = &output->sheet;

	output->count += count;
	if (output->is_sheet)
		return contact_sheet_add(&output->sheet, pixels, count, err);
	if (fwrite(pixels, (size_t)sheet->height_px * sheet->width_px * sheet->channels, count, output->file) < count)
		return fail_to_write(output, err);
	return 0;
}

int crop_output_finish(struct crop_output *output, struct err *err)
{
	FILE *file = output->file;
	int rc = 0;

	if (output->is_sheet)
		rc = contact_sheet_write(&output->sheet, file, err);
	else if (fseeko(file, 0, SEEK_SET) < 0 || write_npy_header(output) < 0)
		rc = fail_to_write(output, err);
	output->file = NULL;
	if (fclose(file) != 0 && rc == 0)
		rc = fail_to_write(output, err);
	if (rc < 0)
		return rc;
	if (rename(part_path, output->path) < 0)
		return fail_to_write(output, err);
	*part_path = '\0';
	return 0;
}

void crop_output_close(struct crop_output *output)
{
	if (output->file)
		(void)fclose(output->file); /* it is not wanted any more */
	if (*part_path)
		(void)unlink(part_path);
	*part_path = '\0';
	contact_sheet_close(&output->sheet);
}
