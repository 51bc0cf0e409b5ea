/*
 * scan.c - part of stage 1 of 5: a folder in, class names and sample paths in their order out.
 *
 * Every thread takes the next class that nobody has; what is found stands with its class, so no order depends on threads.  Of several
 * things that are wrong, the one in the first class is told: all classes before it are walked to their end.
 */
#include "loader/plan/folder/scan.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "loader/plan/folder/scan_walk.h"

enum { MAX_THREADS = 64 };

/* What the threads of a scan share. */
struct crew {
	struct scan *scan;
	const struct scan_walk *of_root;
	_Atomic uint32_t next_class, failed_class; /* the least that failed; class_count: none */
	pthread_mutex_t lock;                      /* over what follows, and writing failed_class */
	int result;
	struct err err;
};

/* Makes classes of the directories in the listing, which is that of the root. */
static int append_classes(struct scan *scan, const struct listing_names *directories)
{
	scan->classes = calloc(directories->count, sizeof *scan->classes);
	if (!scan->classes)
		return -ENOMEM;
	for (size_t i = 0; i < directories->count; i++) {
		scan->classes[i].name = strdup(listing_name(directories, i));
		if (!scan->classes[i].name)
			return -ENOMEM;
		scan->class_count++;
	}
	return 0;
}

static void note_failure(struct crew *crew, uint32_t class, int result, const struct err *err)
{
	pthread_mutex_lock(&crew->lock);
	/* relaxed: written under the lock alone; who reads it elsewhere walks a class too many at worst. */
	if (class < atomic_load_explicit(&crew->failed_class, memory_order_relaxed)) {
		atomic_store_explicit(&crew->failed_class, class, memory_order_relaxed);
		crew->result = result;
		crew->err = *err;
	}
	pthread_mutex_unlock(&crew->lock);
}

static void *walk_classes(void *argument)
{
	struct crew *crew = argument;
	struct scan_walk walk;
	struct err err = {.text = ""};

	scan_walk_open(&walk, crew->of_root, &err);
	for (;;) {
		/* relaxed: only the number counts; what was found is handed over by pthread_join(). */
		uint32_t class = atomic_fetch_add_explicit(&crew->next_class, 1, memory_order_relaxed);
		int result;

		if (class >= atomic_load_explicit(&crew->failed_class, memory_order_relaxed))
			break;
		result = scan_walk_class(&walk, &crew->scan->classes[class]);
		if (result)
			note_failure(crew, class, result, &err);
	}
	scan_walk_close(&walk);
	return NULL;
}

/* By this thread and, as far as they can be had, others. */
static int walk_all_classes(struct scan *scan, const struct scan_walk *of_root, uint32_t threads, struct err *err)
{
	struct crew crew = {.scan = scan, .of_root = of_root, .failed_class = scan->class_count, .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t others[MAX_THREADS - 1];
	uint32_t other_count = 0;

	while (other_count + 1 < threads && other_count + 1 < scan->class_count && other_count < MAX_THREADS - 1 &&
	       pthread_create(&others[other_count], NULL, walk_classes, &crew) == 0)
		other_count++;
	walk_classes(&crew);
	while (other_count > 0)
		pthread_join(others[--other_count], NULL);
	pthread_mutex_destroy(&crew.lock);
	if (crew.result && err)
		*err = crew.err;
	return crew.result;
}

/* The root's listing is in the walk. */
static int walk_below(struct scan *scan, struct scan_walk *walk, uint32_t threads)
{
	const struct listing *listing = &walk->listing;
	int result;

	if (listing->directories.count == 0 && listing->images.count == 0)
		return err_fail(walk->err, -ENODATA, "%s: holds neither an image (%s) nor class folders", walk->folder,
		                LISTING_EXTENSIONS);
	if (listing->directories.count == 0)
		return scan_walk_flat(walk, &scan->top);
	scan->stray_count = listing->images.count;
	result = append_classes(scan, &listing->directories);
	if (result)
		return err_fail(walk->err, result, "%s: out of memory", walk->folder);
	return walk_all_classes(scan, walk, threads, walk->err);
}

static int join_class(struct scan *scan, const struct scan_class *class, struct index_stamps *stamps)
{
	int rc = class->links ? link_targets_join(&scan->link_targets, class->links) : 0;

	scan->sample_count += class->sample_count;
	return rc == 0 && stamps ? index_stamps_join(stamps, &class->stamps) : rc;
}

/* In the order of the classes. */
static int join_all(struct scan *scan, const char *folder, struct index_stamps *stamps, struct err *err)
{
	int rc = join_class(scan, &scan->top, stamps);

	for (uint32_t i = 0; rc == 0 && i < scan->class_count; i++)
		rc = join_class(scan, &scan->classes[i], stamps);
	return rc ? err_fail(err, rc, "%s: out of memory", folder) : 0;
}

int scan_open(struct scan *scan, int root_fd, const char *folder, uint32_t threads, struct index_stamps *stamps, struct err *err)
{
	const struct scan_walk basis = {
		.root_fd = root_fd, .folder = folder, .with_stamps = stamps != NULL, .began_ns = stamps ? stamps->began_ns : 0};
	struct scan_walk walk;
	int result;

	*scan = (struct scan){.class_count = 0};
	link_targets_open(&scan->link_targets, root_fd);
	scan_walk_open(&walk, &basis, err);
	result = scan_walk_root(&walk, &scan->top);
	if (result == 0)
		result = walk_below(scan, &walk, threads);
	scan_walk_close(&walk);
	scan_walk_free_root(&walk);
	return result ? result : join_all(scan, folder, stamps, err);
}

static void close_class(struct scan_class *class)
{
	if (class->links)
		link_targets_close(class->links);
	free(class->links);
	bytes_free(&class->paths);
	index_stamps_close(&class->stamps);
	free(class->name);
}

void scan_close(struct scan *scan)
{
	close_class(&scan->top);
	for (uint32_t i = 0; i < scan->class_count; i++)
		close_class(&scan->classes[i]);
	free(scan->classes);
	link_targets_close(&scan->link_targets);
}
