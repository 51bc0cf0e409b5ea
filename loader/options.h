/*
 * options.h - what the command line, the environment and the defaults ask of `cropring serve`.
 *
 * One table (options_table.h) drives parsing, environment, ranges, --help and the flag table of the docs.
 */
#ifndef CROPRING_OPTIONS_H
#define CROPRING_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/fetch/fetch.h"
#include "loader/plan/crop.h"
#include "loader/plan/schedule.h"
#include "loader/run/sandbox.h"
#include "loader/shape/convert.h"
#include "loader/shape/resample.h"
#include "shmring/shmring.h"

enum fidelity { FIDELITY_EXACT, FIDELITY_FAST };             /* in the order of --fidelity */
enum orientation_rule { ORIENTATION_RAW, ORIENTATION_EXIF }; /* in the order of --orientation */
enum target_dtype { TARGET_UINT8, TARGET_UINT16 };           /* in the order of --target-dtype */
enum on_error { ON_ERROR_SUBSTITUTE, ON_ERROR_ZERO, ON_ERROR_STOP };
enum stalled_rule { STALLED_WAIT, STALLED_EXPEL }; /* in the order of --stalled-reader */
enum requests { REQUESTS_NONE, REQUESTS_SAMPLES, REQUESTS_PATHS }; /* in the order of --requests */
enum log_format { LOG_TEXT, LOG_JSON };

/* Strings point into argv or the environment. */
struct options {
	const char *source;
	const char *index_path; /* NULL: none is kept */

	/* source */
	const char *root; /* NULL: where the source says */

	/* batches */
	uint32_t batch_size, epochs, start_epoch, rank, world_size;
	uint64_t seed, start_sample, limit; /* limit 0: none */
	bool shuffle;
	const char *weights; /* a .npy file, or "column"; NULL: every sample once */
	enum schedule_tail tail;

	/* crop */
	uint32_t height_px, width_px; /* --size */
	enum crop_rule crop;
	uint32_t short_side_px; /* 0 on the command line: 256/224 of the larger output side, already worked out here */
	double scale_min, scale_max, ratio_min, ratio_max, max_img_percent, hflip;
	enum resample_filter resample;
	enum fidelity fidelity;
	enum orientation_rule orientation;

	/* output */
	uint32_t channels;
	enum convert_dtype dtype;
	enum convert_layout layout;
	const char *targets; /* a folder; NULL: none */
	enum target_dtype target_dtype;
	bool normalise; /* --mean or --std was given */
	float mean[3], std[3];

	/* ring */
	const char *ring;        /* NULL: a name made from the process id */
	const char *socket_path; /* NULL: abstract namespace */
	uint32_t slots;          /* 0: auto */
	enum shmring_segment segment;
	enum shmring_share share;
	uint32_t readers;
	uint32_t linger_ms;
	enum stalled_rule stalled_reader;
	uint32_t stalled_after_ms;

	/* work */
	uint32_t threads; /* 0: auto */
	const char *cpus; /* NULL: all */
	int32_t nice;
	enum fetch_backend io;
	uint32_t io_depth;

	/* faults */
	enum on_error on_error;
	uint64_t max_pixels, max_file_bytes;
	uint32_t item_timeout_ms;
	enum sandbox_mode sandbox;

	/* report */
	int verbosity; /* -1 quiet, 0 normal, 1 and more: verbose */
	enum log_format log_format;
	const char *stats_path, *metrics_path, *trace_path; /* NULL: none */

	/* Not in --help: what a Python process says that goes on where a worker of its own died. */
	uint64_t first_batch; /* the number of the first batch */
	const char *crashed;  /* samples that are never read, such as "17,4"; NULL: none */
	uint32_t goes_on;     /* 1: the file of --trace was begun by one that this one replaces */

	/* Not in --help: one worker for N ranks of a machine; lane i has, byte for byte, the batches of rank --rank + i. */
	uint32_t lane_ranks;

	/*
	 * Not in --help: the process that started this one asks for batches itself (loader/plan/request.h), by the numbers of samples,
	 * or by paths below SOURCE, which is then not scanned; there is no schedule.
	 */
	enum requests requests;

	/* Not in --help: the socket of the Python process that started this worker; -1: none.  Known after a failure as well. */
	int reader_fd;
};

/*
 * Parses `cropring serve`'s arguments; argv[0] is not looked at.  0, or -EINVAL with one clear sentence in *err (exit code 2).
 * --help and --version print and exit 0.
 */
int options_parse(struct options *options, int argc, char **argv, struct err *err);

/* Every flag: as the Markdown table of the docs, or as JSON for the tests of the Python bindings. */
void options_print_markdown(void);
void options_print_json(void);

#endif
