/*
 * crop_command.c - one run of `cropring crop`: items in, requests to a worker of its own, several in flight; answers, in order, to
 * the output.  One thread.  Reading, decoding, threads, limits and sandbox are all the worker's.
 */
#include "loader/shell/crop_command.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/commas.h"
#include "loader/item_status.h"
#include "loader/run/log.h"
#include "loader/run/pipeline.h"
#include "loader/run/serve.h"
#include "loader/shell/crop_output.h"
#include "loader/shell/crop_worker.h"

enum { IN_FLIGHT = 4, PROGRESS_NS = 200000000 };

struct crop_run {
	const struct crop_flags *flags;
	struct crop_list list;
	struct crop_output output;
	struct crop_worker worker;
	struct crop_request requests[IN_FLIGHT]; /* request k in place k mod IN_FLIGHT */
	uint64_t asked, taken;                   /* requests */
	uint64_t bad;                            /* files */
	bool no_more;                            /* items */
	bool is_bad_data;                        /* ended by --on-error stop */
	uint64_t shown_ns;
};

/* What a status means to a person. */
static const char *const reasons[ITEM_STATUS_COUNT] = {
	[ITEM_MISSING] = "there is no such file",
	[ITEM_UNREADABLE] = "it cannot be read",
	[ITEM_EMPTY] = "it is empty",
	[ITEM_TOO_LARGE] = "it is too large; see --max-file-bytes and --max-pixels",
	[ITEM_NOT_AN_IMAGE] = "it is no JPEG, PNG or BMP",
	[ITEM_TRUNCATED] = "it ends before its pixels do",
	[ITEM_CORRUPT] = "it is damaged",
	[ITEM_UNSUPPORTED] = "it is of a kind that is not read",
	[ITEM_TIMEOUT] = "it took longer than --item-timeout-ms",
};

static void show_progress(struct crop_run *run)
{
	char done[32], all[40] = "", bad[32], line[128];
	uint64_t now_ns = clock_now_ns();

	if (!log_has_terminal() || now_ns - run->shown_ns < PROGRESS_NS)
		return;
	run->shown_ns = now_ns;
	if (run->flags->path_count) {
		memcpy(all, " of ", 4);
		with_commas(run->flags->path_count, all + 4);
	}
	snprintf(line, sizeof line, "crop: %s%s, %s bad", with_commas(run->output.count, done), all, with_commas(run->bad, bad));
	log_progress(line);
}

/* The next request, if there are items for it. */
static int ask(struct crop_run *run, struct err *err)
{
	struct crop_request *request = &run->requests[run->asked % IN_FLIGHT];
	struct crop_item item;
	int rc = 0;

	crop_request_clear(request);
	while (rc == 0 && request->row_count < run->worker.batch_rows) {
		rc = crop_list_next(&run->list, &item, err);
		run->no_more = rc == 0;
		if (run->no_more)
			break;
		if (rc > 0)
			rc = crop_request_add(request, &run->worker, &item, err);
	}
	if (rc < 0)
		return rc;
	if (request->row_count == 0)
		return 0;
	rc = crop_worker_ask(&run->worker, request, err);
	if (rc == -EPIPE) { /* what is ready comes first, then why there is no more */
		run->no_more = true;
		rc = 0;
	}
	run->asked += rc == 0;
	return rc;
}

/* The mistake that is made first; anything else that cannot be read says no more than that (-v: the system's words). */
static const char *describe_bad_file(unsigned reason, const char *path)
{
	struct stat found;

	if (reason == ITEM_UNREADABLE && stat(path, &found) == 0 && S_ISDIR(found.st_mode))
		return "it is a folder; name the files in it";
	return reason < ITEM_STATUS_COUNT && reasons[reason] ? reasons[reason] : item_status_name(reason);
}

static void name_bad_files(struct crop_run *run, const struct crop_request *request, const uint8_t *statuses)
{
	for (uint32_t row = 0; row < request->row_count; row++) {
		unsigned reason = statuses[row] & ITEM_REASON_MASK;
		const char *path = request->text + request->named_at[row];

		if (reason == ITEM_OK)
			continue;
		run->bad++;
		log_write(LOG_WARNING, "%s: %s", path, describe_bad_file(reason, path));
	}
}

/* The answer to the oldest request. */
static int take(struct crop_run *run, struct err *err)
{
	const struct crop_request *request = &run->requests[run->taken % IN_FLIGHT];
	const struct shmring_reader *reader = run->worker.reader;
	struct shmring_lease lease;
	int rc = crop_worker_take(&run->worker, &lease, &run->is_bad_data, err);

	if (rc < 0)
		return rc;
	if (lease.row_count != request->row_count)
		return err_fail(err, -EPROTO, "the worker answered %u crops where %u were asked for", lease.row_count,
		                request->row_count);
	name_bad_files(run, request, shmring_lease_data(reader, &lease, FIELD_STATUS));
	rc = crop_output_add(&run->output, shmring_lease_data(reader, &lease, FIELD_IMAGES), lease.row_count, err);
	(void)shmring_release(run->worker.reader,
	                      &lease); /* it can only be refused if the ring is lost, which the next call tells */
	run->taken++;
	show_progress(run);
	return rc;
}

static int crop_all(struct crop_run *run, struct err *err)
{
	int rc = 0;

	for (;;) {
		while (rc == 0 && !run->no_more && run->asked - run->taken < IN_FLIGHT)
			rc = ask(run, err);
		if (rc < 0 || run->asked == run->taken)
			break;
		rc = take(run, err);
	}
	if (rc == 0 && run->taken == 0)
		return err_fail(err, -EINVAL, "standard input names no files");
	return rc < 0 ? rc : crop_output_finish(&run->output, err);
}

static void sum_up(const struct crop_run *run)
{
	char count[32], bad[32];

	log_write(LOG_INFO, "%s: %s crop%s of %ux%u, %s bad", run->output.path, with_commas(run->output.count, count),
	          run->output.count == 1 ? "" : "s", run->flags->worker.height_px, run->flags->worker.width_px,
	          with_commas(run->bad, bad));
}

static int exit_code_of(const struct crop_run *run, int rc)
{
	if (run->is_bad_data)
		return EXIT_BAD_DATA;
	if (rc < 0)
		return rc == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	return run->bad ? EXIT_BAD_DATA : EXIT_DONE;
}

int crop_command(const struct crop_flags *flags)
{
	static struct crop_run run; /* tens of kilobytes */
	struct err err = {.text = ""};
	int rc;

	run.flags = flags;
	log_open(flags->worker.verbosity, false);
	crop_list_open(&run.list, flags);
	rc = crop_output_open(&run.output, flags, &err);
	if (rc == 0)
		rc = crop_worker_open(&run.worker, flags, &err);
	if (rc == 0)
		rc = crop_all(&run, &err);
	log_progress("");
	crop_worker_close(&run.worker);
	crop_output_close(&run.output);
	if (rc == 0)
		sum_up(&run);
	else if (*err.text)
		log_write(LOG_ERROR, "%s", err.text);
	for (size_t i = 0; i < IN_FLIGHT; i++)
		crop_request_close(&run.requests[i]);
	return exit_code_of(&run, rc);
}
