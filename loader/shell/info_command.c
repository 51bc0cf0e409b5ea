/* info_command.c - one run of `cropring info`: what was named in, a report on standard output out.  One thread, but for --verify. */
#include "loader/shell/info_command.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "loader/plan/source_kind.h"
#include "loader/run/log.h"
#include "loader/run/serve.h"
#include "loader/shell/info_loose.h"
#include "loader/shell/info_pack.h"
#include "loader/shell/stop_signal.h"

/* A file that is no kind of source: an image, or nothing that is known. */
static int find_is_file(const char *path, bool *is_file, struct err *err)
{
	enum source_kind kind = SOURCE_FOLDER;
	char *found = NULL;
	struct stat status;
	int rc = source_kind_find(path, &kind, &found, err);

	free(found);
	*is_file = rc == 0 && kind == SOURCE_FOLDER && stat(path, &status) == 0 && S_ISREG(status.st_mode);
	return rc;
}

static int report_dataset(struct info_report *report, const struct info_flags *flags, const struct dataset *dataset,
                          struct err *err)
{
	struct pack_pictures pictures;
	int rc = pack_pictures_open(&pictures, dataset, false, err);

	if (rc == 0) {
		report->samples = dataset_sample_count(dataset);
		report->classes = dataset_class_count(dataset);
		for (uint64_t i = 0; i < pictures.count; i++)
			report->targets += pack_picture_is_target(&pictures, i);
		report->images = pictures.count - report->targets;
		report->kind = dataset_has(dataset, INDEX_IMAGE) ? INFO_PACK : INFO_SOURCE;
		if (flags->verify && report->kind != INFO_PACK)
			rc = err_fail(err, -EINVAL, "--verify: %s is no pack, and has no checksums", flags->path);
		else
			rc = report->kind == INFO_PACK ? info_pack(report, flags, &pictures, err)
			                               : info_source(report, flags, &pictures, err);
	}
	if (rc == 0 && flags->verify)
		rc = info_verify(report, flags, &pictures, err);
	pack_pictures_close(&pictures);
	return rc;
}

static int find_out(struct info_report *report, const struct info_flags *flags, struct err *err)
{
	const struct dataset_spec spec = {.source = flags->path, .root = flags->worker.root, .threads = 1};
	struct dataset *dataset;
	bool is_file;
	int rc = find_is_file(flags->path, &is_file, err);

	if (rc < 0)
		return rc;
	if (is_file && flags->verify)
		return err_fail(err, -EINVAL, "--verify: %s is no pack, and has no checksums", flags->path);
	if (is_file)
		return info_file(report, flags, err);
	rc = dataset_open(&dataset, &spec, err);
	if (rc < 0)
		return rc;
	rc = report_dataset(report, flags, dataset, err);
	dataset_close(dataset);
	return rc;
}

int info_command(const struct info_flags *flags)
{
	static struct info_report report; /* tens of kilobytes */
	struct err err = {.text = ""};
	int rc;

	report.name = flags->path;
	report.crops = (struct info_crops){flags->worker.height_px, flags->worker.width_px, flags->worker.seed};
	log_open(flags->worker.verbosity, false);
	rc = find_out(&report, flags, &err);
	if (rc < 0)
		log_write(LOG_ERROR, "%s", err.text);
	else if (flags->json)
		info_report_print_json(&report);
	else
		info_report_print(&report);
	info_report_close(&report);
	stop_signal_end();
	if (rc < 0)
		return EXIT_FAILED;
	return report.damaged_images || report.damaged_tables ? EXIT_BAD_DATA : EXIT_DONE;
}
