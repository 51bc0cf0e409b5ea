/* crop_output.c - a file that appears whole or not at all. */
#include "loader/shell/crop_output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/shell/npy_header.h"

static char part_path[PATH_MAX]; /* what a signal handler takes away, if it is there; "": nothing */

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

/* In the folder of `path`, without a name where one can be given later, else as part_path.  NULL: errno tells. */
static FILE *open_part(const char *path, bool *has_name)
{
	const char *slash = strrchr(path, '/');
	int folder_bytes = slash ? (int)(slash + 1 - path) : 0, fd = -1;
	char folder[PATH_MAX];
	uint32_t number;
	FILE *file;

	if (getentropy(&number, sizeof number) < 0)
		return NULL;
	if (snprintf(part_path, sizeof part_path, "%.*s.%s.%08x.part", folder_bytes, path, path + folder_bytes, number) >=
	    PATH_MAX) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	if (access(part_path, F_OK) < 0 && errno == ENAMETOOLONG) /* told before any work */
		return NULL;
	snprintf(folder, sizeof folder, "%.*s", slash ? folder_bytes : 1, slash ? path : ".");
	if (access("/proc/self/fd", X_OK) == 0)
		fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	*has_name = fd < 0;
	if (*has_name)
		fd = open(part_path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (fd >= 0 && !file)
		close(fd);
	return file;
}

/* A link cannot replace a file, a rename can: so there is a name between, for two system calls. */
static int give_name(const struct crop_output *output)
{
	char place[40];

	if (output->has_name)
		return 0;
	snprintf(place, sizeof place, "/proc/self/fd/%d", fileno(output->file));
	return linkat(AT_FDCWD, place, AT_FDCWD, part_path, AT_SYMLINK_FOLLOW);
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
	catch_signals();
	output->file = open_part(output->path, &output->has_name);
	if (!output->file) {
		int rc = fail_to_write(output, err);

		*part_path = '\0';
		return rc;
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
		rc = contact_sheet_write(&output->sheet, file);
	else if (fseeko(file, 0, SEEK_SET) < 0 || write_npy_header(output) < 0)
		rc = -errno;
	if (rc == 0 && (fflush(file) != 0 || give_name(output) < 0))
		rc = -errno;
	output->file = NULL;
	if (fclose(file) != 0 && rc == 0) /* NFS tells only now */
		rc = -errno;
	if (rc == 0 && rename(part_path, output->path) < 0)
		rc = -errno;
	if (rc < 0)
		return err_fail(err, rc, "%s cannot be written: %s", output->path, strerror(-rc));
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
