/*
 * unpack_command.c - one run of `cropring unpack`: the images of a pack in, ordinary files out, several threads at a time, of which the
 * first one shows how far they are.
 *
 * Names are hostile: folders are made and entered one after the other, links are never followed, and a file appears under its name
 * only when it is whole and its checksum is right.
 */
#include "loader/shell/unpack_command.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/commas.h"
#include "loader/run/log.h"
#include "loader/run/serve.h"
#include "loader/shell/crew.h"
#include "loader/shell/stop_signal.h"
#include "loader/shell/stored_image.h"
#include "loader/shell/whole_file.h"

enum { PROGRESS_NS = 200000000 };

struct unpack_run {
	const struct unpack_flags *flags;
	struct dataset *dataset;
	struct unpack_list list;
	int folder_fd;
	uint8_t *pieces; /* memory of the threads, a piece each */

	/* relaxed: numbers that only count, and are read for good after the threads were joined */
	_Atomic uint64_t next, written, written_bytes, damaged, refused;
	atomic_bool failed;   /* relaxed: err is read after the threads were joined */
	pthread_mutex_t lock; /* guards err, which the first failure writes */
	struct err err;
};

/* One thread. */
struct unpacker {
	struct unpack_run *run;
	uint8_t *piece;
	int parent_fd;       /* the folder of the last file; -1: none */
	const char *parent;  /* a name that begins with its own, */
	size_t parent_bytes; /* which is so long */
	struct whole_file file;
};

/* ---------------------------------------------------------------- one image */

static void fail(struct unpack_run *run, const char *name, int rc)
{
	const char *folder = run->flags->folder;

	pthread_mutex_lock(&run->lock);
	if (atomic_exchange_explicit(&run->failed, true, memory_order_relaxed)) /* relaxed: under the lock */
		(void)0;                                                        /* the first one is the cause */
	else if (rc == -EEXIST || rc == -EISDIR)
		err_fail(&run->err, rc, rc == -EEXIST ? "%s/%s is there already; --force replaces it" : "%s/%s is a folder", folder,
		         name);
	else if (rc == -ELOOP || rc == -ENOTDIR)
		err_fail(&run->err, rc, "%s/%s: a part of this path is there, and no folder", folder, name);
	else
		err_fail(&run->err, rc, "%s/%s cannot be written: %s", folder, name, strerror(-rc));
	pthread_mutex_unlock(&run->lock);
}

static void close_parent(struct unpacker *unpacker)
{
	if (unpacker->parent_fd >= 0)
		close(unpacker->parent_fd);
	unpacker->parent_fd = -1;
}

/* Makes and enters a folder of folder_fd.  A descriptor, or a negative errno. */
static int enter(int folder_fd, const char *part, size_t byte_count)
{
	char *name = strndup(part, byte_count);
	int fd;

	if (!name)
		return -ENOMEM;
	fd = mkdirat(folder_fd, name, 0777) < 0 && errno != EEXIST
	             ? -1
	             : openat(folder_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	free(name);
	return fd;
}

/* Makes unpacker->parent_fd that of the folder that `name` lies in. */
static int enter_parent(struct unpacker *unpacker, const char *name)
{
	const char *slash = strrchr(name, '/');
	size_t parent_bytes = slash ? (size_t)(slash - name) : 0;
	int fd;

	if (unpacker->parent_fd >= 0 && parent_bytes == unpacker->parent_bytes && memcmp(name, unpacker->parent, parent_bytes) == 0)
		return 0;
	close_parent(unpacker);
	fd = fcntl(unpacker->run->folder_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	for (const char *part = name; part < name + parent_bytes;) {
		size_t part_bytes = strcspn(part, "/");
		int next_fd = enter(fd, part, part_bytes);

		close(fd);
		if (next_fd < 0)
			return next_fd;
		fd = next_fd;
		part += part_bytes + 1;
	}
	unpacker->parent_fd = fd;
	unpacker->parent = name;
	unpacker->parent_bytes = parent_bytes;
	return 0;
}

static int take_piece(void *context, const void *data, size_t byte_count)
{
	struct unpacker *unpacker = context;

	if (stop_signal_number())
		return -EINTR;
	return whole_file_write(&unpacker->file, data, byte_count);
}

static int write_item(struct unpacker *unpacker, const struct unpack_item *item)
{
	const char *slash = strrchr(item->name, '/');
	int rc = enter_parent(unpacker, item->name);

	if (rc == 0)
		rc = whole_file_open(&unpacker->file, unpacker->parent_fd);
	if (rc < 0)
		return rc;
	rc = stored_image_read(&item->file, unpacker->piece, take_piece, unpacker);
	if (rc < 0) {
		whole_file_abandon(&unpacker->file);
		return rc;
	}
	return whole_file_finish(&unpacker->file, slash ? slash + 1 : item->name, unpacker->run->flags->replaces);
}

/* What is wrong with one image alone is said, and the others go on. */
static void unpack_item(struct unpacker *unpacker, const struct unpack_item *item)
{
	struct unpack_run *run = unpacker->run;
	int rc = write_item(unpacker, item);

	if (rc == 0) {
		atomic_fetch_add_explicit(&run->written, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&run->written_bytes, item->file.length, memory_order_relaxed);
	} else if (rc == -EBADMSG) {
		atomic_fetch_add_explicit(&run->damaged, 1, memory_order_relaxed);
		log_write(LOG_WARNING, "%s: damaged in the pack: its checksum is wrong; it is not written", item->file.path);
	} else if (rc == -ENAMETOOLONG || rc == -EILSEQ || rc == -EINVAL) {
		atomic_fetch_add_explicit(&run->refused, 1, memory_order_relaxed);
		log_write(LOG_WARNING,
		          "%s: no file can have this name here (%s); --index %llu and - as the folder write it elsewhere",
		          item->name, strerror(-rc), (unsigned long long)item->sample);
	} else if (rc != -EINTR) {
		fail(run, item->name, rc);
	}
}

/* ---------------------------------------------------------------- all of them */

static void show_progress(const struct unpack_run *run, uint64_t *shown_ns)
{
	char done[32], all[32], line[160];
	uint64_t now_ns = clock_now_ns();

	if (!log_has_terminal() || now_ns - *shown_ns < PROGRESS_NS)
		return;
	*shown_ns = now_ns;
	snprintf(line, sizeof line, "unpack: %s of %s files, %.2f of %.2f GB", with_commas(run->written, done),
	         with_commas(run->list.count, all), (double)run->written_bytes / 1e9, (double)run->list.byte_count / 1e9);
	log_progress(line);
}

static void work(void *context, uint32_t number)
{
	struct unpack_run *run = context;
	struct unpacker unpacker = {.run = run, .piece = run->pieces + (size_t)number * STORED_IMAGE_PIECE_BYTES, .parent_fd = -1};
	uint64_t shown_ns = clock_now_ns();

	/* relaxed: see struct unpack_run */
	while (!stop_signal_number() && !atomic_load_explicit(&run->failed, memory_order_relaxed)) {
		uint64_t next = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed);

		if (next >= run->list.count)
			break;
		unpack_item(&unpacker, &run->list.items[next]);
		if (number == 0)
			show_progress(run, &shown_ns);
	}
	close_parent(&unpacker);
}

static int write_all(struct unpack_run *run, struct err *err)
{
	uint32_t size = crew_size(run->flags->threads, run->list.count);
	int rc = -ENOMEM;

	run->pieces = malloc((size_t)size * STORED_IMAGE_PIECE_BYTES);
	if (run->pieces)
		rc = crew_run(size, work, run);
	free(run->pieces);
	if (rc < 0)
		return err_fail(err, rc, "out of memory for %u threads", size);
	if (run->failed) {
		*err = run->err;
		rc = -EIO;
	}
	return rc;
}

static int open_folder(struct unpack_run *run, struct err *err)
{
	const char *folder = run->flags->folder;

	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		return err_fail(err, -errno, "%s: cannot make this folder: %s", folder, strerror(errno));
	run->folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return run->folder_fd < 0 ? err_fail(err, -errno, "%s: cannot open this folder: %s", folder, strerror(errno)) : 0;
}

static int check_item(void *context, const void *data, size_t byte_count)
{
	(void)context, (void)data, (void)byte_count;
	return 0;
}

static int print_piece(void *context, const void *data, size_t byte_count)
{
	return whole_file_write(context, data, byte_count);
}

/* Checked first: what was written cannot be taken back. */
static int print_item(struct unpack_run *run, struct err *err)
{
	const struct unpack_item *item = &run->list.items[0];
	struct whole_file out = {.fd = STDOUT_FILENO};
	void *piece = malloc(STORED_IMAGE_PIECE_BYTES);
	int rc = piece ? 0 : -ENOMEM;

	for (uint64_t i = 1; i < run->list.count && item->is_target; i++)
		item = &run->list.items[i];
	if (rc == 0)
		rc = stored_image_read(&item->file, piece, check_item, NULL);
	if (rc == 0)
		rc = stored_image_read(&item->file, piece, print_piece, &out);
	free(piece);
	run->damaged = rc == -EBADMSG;
	run->written = rc == 0;
	if (rc == -EBADMSG)
		log_write(LOG_ERROR, "%s: damaged in the pack: its checksum is wrong", item->file.path);
	else if (rc < 0)
		return err_fail(err, rc, "%s cannot be written to standard output: %s", item->file.path, strerror(-rc));
	return 0;
}

static void name_renamed(const struct unpack_run *run)
{
	for (uint64_t i = 0; i < run->list.count; i++)
		if (run->list.items[i].new_name)
			log_write(LOG_DEBUG, "%s: as %s, for another has its name", run->list.items[i].file.path,
			          run->list.items[i].name);
}

static int unpack(struct unpack_run *run, struct err *err)
{
	const struct dataset_spec spec = {.source = run->flags->pack, .threads = 1};
	int rc = dataset_open(&run->dataset, &spec, err);

	if (rc == 0 && !dataset_has(run->dataset, INDEX_IMAGE))
		rc = err_fail(err, -EINVAL, "%s is no pack, but a source whose images are ordinary files", run->flags->pack);
	if (rc == 0)
		rc = unpack_list_make(&run->list, run->dataset, &run->flags->wish, err);
	if (rc < 0)
		return rc;
	if (strcmp(run->flags->folder, "-") == 0)
		return print_item(run, err);
	rc = open_folder(run, err);
	if (rc < 0)
		return rc;
	name_renamed(run);
	stop_signal_catch();
	return write_all(run, err);
}

static void sum_up(const struct unpack_run *run)
{
	char count[32], damaged[32], renamed[64] = "", number[32];

	if (stop_signal_number()) {
		log_write(LOG_WARNING, "%s: stopped by SIG%s after %s of %s files, which are whole; with --force the same command writes all",
		          run->flags->folder, sigabbrev_np(stop_signal_number()), with_commas(run->written, count),
		          with_commas(run->list.count, number));
		return;
	}
	if (run->list.renamed)
		snprintf(renamed, sizeof renamed, ", %s under another name", with_commas(run->list.renamed, number));
	log_write(LOG_INFO, "%s: %s file%s, %.1f MB%s, %s damaged", run->flags->folder, with_commas(run->written, count),
	          run->written == 1 ? "" : "s", (double)run->written_bytes / 1e6, renamed, with_commas(run->damaged, damaged));
}

int unpack_command(const struct unpack_flags *flags)
{
	static struct unpack_run run = {.folder_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct err err = {.text = ""};
	int rc;

	run.flags = flags;
	log_open(flags->verbosity, false);
	rc = unpack(&run, &err);
	log_progress("");
	if (rc < 0)
		log_write(LOG_ERROR, "%s", err.text);
	else if (strcmp(flags->folder, "-") != 0)
		sum_up(&run);
	unpack_list_close(&run.list);
	dataset_close(run.dataset);
	if (run.folder_fd >= 0)
		close(run.folder_fd);
	stop_signal_end();
	if (rc < 0)
		return rc == -ERANGE ? EXIT_USAGE : EXIT_FAILED;
	return run.damaged ? EXIT_BAD_DATA : run.refused ? EXIT_FAILED : EXIT_DONE;
}
