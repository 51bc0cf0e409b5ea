/*
 * pack_command.c - one run of `cropring pack`: a source in, a pack out.  This thread reads the list of samples, writes what the threads
 * of pack_run.c make, in order, and listens to signals.
 */
#include "loader/shell/pack_command.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/pack/pack_crash.h"
#include "loader/pack/pack_finish.h"
#include "loader/pack/pack_place.h"
#include "loader/pack/pack_run.h"
#include "loader/run/limits.h"
#include "loader/run/log.h"
#include "loader/run/serve.h"
#include "loader/shell/pack_report.h"
#include "loader/shell/stop_signal.h"

enum { TICK_MS = 100 };

struct packing {
	const struct pack_flags *flags;
	struct dataset *dataset;
	struct pack_pictures pictures;
	struct pack_place place;
	struct pack_job job;
	struct pack_writer writer;
	struct pack_report report;
	struct pack_run *run;
	bool is_source_wrong; /* exit code 3 */
};

/* ------------------------------------------------------------------ signals */

static void catch_signals(void)
{
	stop_signal_catch();
	pack_crash_catch_signals();
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow any more is an error with a name */
}

/*
 * All that was packed is made to be on the disk; a second signal meanwhile ends us at once, which costs nothing either.  The threads
 * are not waited for: what they are at can take long, and is not wanted.
 */
static _Noreturn void end_by_signal(struct packing *packing)
{
	int number = stop_signal_number();
	struct err err = {.text = ""};

	log_progress("");
	if (pack_writer_sync(&packing->writer, &err) < 0)
		log_write(LOG_ERROR, "%s", err.text);
	log_write(LOG_INFO, "stopped by SIG%s after %llu of %llu images; the same command with --resume goes on",
	          sigabbrev_np(number), (unsigned long long)pack_writer_count(&packing->writer),
	          (unsigned long long)packing->pictures.count);
	_exit(EXIT_SIGNAL + number);
}

/* ------------------------------------------------------------------ set-up */

static int open_source(struct packing *packing, uint32_t threads, struct err *err)
{
	const struct options *like = &packing->flags->like;
	struct dataset_spec spec = {.source = like->source,
	                            .root = like->root,
	                            .targets = like->targets,
	                            .index_path = like->index_path,
	                            .threads = threads};
	int rc = dataset_open(&packing->dataset, &spec, err);
	bool is_warning;
	const char *text;

	if (rc < 0)
		return rc;
	text = dataset_cache_report(packing->dataset, &is_warning);
	if (*text)
		log_write(is_warning ? LOG_WARNING : LOG_INFO, "%s", text);
	if (dataset_remark(packing->dataset))
		log_write(LOG_DEBUG, "%s", dataset_remark(packing->dataset));
	if (dataset_warning(packing->dataset))
		log_write(LOG_WARNING, "%s", dataset_warning(packing->dataset));
	if (dataset_stray_count(packing->dataset) > 0)
		log_write(LOG_WARNING, "%s: %llu images lie beside the class folders and are left out", like->source,
		          (unsigned long long)dataset_stray_count(packing->dataset));
	return 0;
}

/* A pack in the folder that it is made of would be a part of it the next time. */
static int check_outside(const struct pack_flags *flags, struct err *err)
{
	const char *slash = strrchr(flags->out, '/'), *source = flags->like.source;
	char folder[PATH_MAX], *real_folder, *real_source;
	struct stat status;
	bool is_inside = false;
	size_t chars;

	if (stat(source, &status) < 0 || !S_ISDIR(status.st_mode))
		return 0;
	snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash + 1 - flags->out) : 1, slash ? flags->out : ".");
	real_folder = realpath(folder, NULL);
	real_source = realpath(source, NULL);
	if (real_folder && real_source) {
		chars = strlen(real_source);
		is_inside =
			strncmp(real_folder, real_source, chars) == 0 && (real_folder[chars] == '/' || real_folder[chars] == '\0');
	}
	free(real_folder);
	free(real_source);
	return is_inside ? err_fail(err, -EINVAL,
	                            "%.200s lies in the folder %.200s, which is to be packed; choose a place outside of it",
	                            flags->out, source)
	                 : 0;
}

static void make_rules(struct packing *packing)
{
	const struct pack_flags *flags = packing->flags;

	packing->job = (struct pack_job){.pictures = &packing->pictures,
	                                 .rules = {.segment_px = flags->segment_px,
	                                           .png_rows = flags->png_rows,
	                                           .png_level = flags->png_level,
	                                           .keep_metadata = flags->keep_metadata,
	                                           .bmp_to_png = flags->bmp_to_png,
	                                           .max_pixels = flags->like.max_pixels,
	                                           .most_memory_bytes = flags->memory_bytes},
	                                 .verify = flags->verify,
	                                 .max_file_bytes = flags->like.max_file_bytes,
	                                 .skip_unreadable = flags->skip_unreadable};
}

static int open_writer(struct packing *packing, struct err *err)
{
	const struct index_header *header = dataset_index(packing->dataset)->header;
	struct pack_terms terms;
	int rc;

	pack_terms_set(&terms, &packing->job.rules, packing->job.verify);
	memcpy(terms.fingerprint, header->fingerprint, sizeof terms.fingerprint);
	terms.sample_count = header->sample_count;
	terms.picture_count = packing->pictures.count;
	terms.shard_bytes = packing->flags->shard_bytes;
	rc = pack_writer_open(&packing->writer, packing->place.partial, packing->place.partial_fd, &packing->pictures, &terms, err);
	if (rc == 0 && !packing->writer.is_whole)
		rc = pack_place_check_free(&packing->place, err);
	if (rc == 0 && pack_writer_count(&packing->writer) > 0)
		log_write(LOG_INFO, "%s: %llu of %llu images were packed before", packing->flags->out,
		          (unsigned long long)pack_writer_count(&packing->writer), (unsigned long long)packing->pictures.count);
	return rc;
}

static int set_up(struct packing *packing, uint32_t threads, struct err *err)
{
	const struct pack_flags *flags = packing->flags;
	int rc = check_outside(flags, err);

	rc = rc ? rc : pack_place_open(&packing->place, flags->out, flags->resume, err);
	rc = rc ? rc : open_source(packing, threads, err);
	rc = rc ? rc : pack_pictures_open(&packing->pictures, packing->dataset, flags->shard_bytes > 0, err);
	if (rc < 0)
		return rc;
	make_rules(packing);
	catch_signals(); /* until here one simply ends us */
	return open_writer(packing, err);
}

/* ------------------------------------------------------------------ the work */

static int write_next(struct packing *packing, const struct pack_result *result, struct err *err)
{
	if (result->is_skipped)
		log_write(LOG_WARNING, "%s; passed over", result->err.text);
	if (result->rc == 0)
		return pack_writer_add(&packing->writer, &result->picture, err);
	packing->is_source_wrong = result->rc == -EIO;
	return err_fail(err, result->rc, "%.400s%s", result->err.text,
	                packing->is_source_wrong ? "; mend it, or say --skip-unreadable, and go on with --resume" : "");
}

static int pack_all(struct packing *packing, uint32_t threads, struct err *err)
{
	uint64_t free_bytes = limits_memory_bytes() / 5 * 4, budget_bytes = packing->flags->memory_bytes;
	int rc = pack_run_open(&packing->run, &packing->job, pack_writer_count(&packing->writer), threads,
	                       budget_bytes < free_bytes ? budget_bytes : free_bytes, err);

	while (rc == 0 && pack_writer_count(&packing->writer) < packing->pictures.count) {
		struct pack_result *result;

		if (stop_signal_number())
			end_by_signal(packing);
		pack_report_progress(&packing->report);
		if (pack_run_take(packing->run, TICK_MS, &result) == -ETIMEDOUT)
			continue;
		rc = write_next(packing, result, err);
		pack_run_give_back(packing->run);
	}
	if (rc == 0)
		log_write(LOG_DEBUG, "images took %.1f MB of memory at once, at most",
		          (double)pack_run_peak_bytes(packing->run) / 1e6);
	if (rc < 0 && packing->writer.file_fd >= 0) {
		struct err ignored; /* the first error is the one that counts */

		(void)pack_writer_sync(&packing->writer, &ignored);
	}
	return rc;
}

static int work(struct packing *packing, uint32_t threads, struct err *err)
{
	int rc = 0;

	pack_report_begin(&packing->report, &packing->writer);
	if (!packing->writer.is_whole) {
		rc = pack_all(packing, threads, err);
		if (rc == 0 && stop_signal_number())
			end_by_signal(packing);
		rc = rc ? rc : pack_finish(&packing->writer, err);
	}
	rc = rc ? rc : pack_place_publish(&packing->place, pack_writer_shard_count(&packing->writer), packing->writer.id, err);
	log_progress("");
	if (rc == 0)
		pack_report_end(&packing->report, packing->flags->out);
	return rc;
}

static int exit_code_of(const struct packing *packing, bool is_set_up, int rc)
{
	if (rc == 0)
		return EXIT_DONE;
	if (packing->is_source_wrong)
		return EXIT_BAD_DATA;
	return !is_set_up && rc != -ENOMEM && rc != -EBUSY && rc != -ENOSPC ? EXIT_USAGE : EXIT_FAILED;
}

int pack_command(const struct pack_flags *flags)
{
	struct packing packing = {
		.flags = flags, .place = {.folder_fd = -1, .partial_fd = -1}, .writer = {.file_fd = -1, .journal.fd = -1}};
	uint32_t threads = flags->like.threads > 0 ? flags->like.threads : limits_cpu_count();
	struct err err = {.text = ""};
	bool is_set_up;
	int rc;

	log_open(flags->like.verbosity, flags->like.log_format == LOG_JSON);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); /* a file that takes over the process gains no rights beyond the user's */
	if (flags->like.nice != 0)
		(void)setpriority(PRIO_PROCESS, 0, flags->like.nice); /* raising it is always allowed */
	rc = set_up(&packing, threads, &err);
	is_set_up = rc == 0;
	if (is_set_up)
		rc = work(&packing, threads, &err);
	if (rc < 0)
		log_write(LOG_ERROR, "%s", err.text);
	pack_run_close(packing.run);
	pack_writer_close(&packing.writer);
	pack_place_close(&packing.place);
	pack_pictures_close(&packing.pictures);
	dataset_close(packing.dataset);
	return exit_code_of(&packing, is_set_up, rc);
}
