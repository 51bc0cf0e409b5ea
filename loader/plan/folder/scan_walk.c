/*
 * scan_walk.c - part of stage 1 of 5: one class folder in, the paths of all images below it out, in their order.  One thread.
 *
 * The order is that of torchvision's make_dataset(): within a class by the path of the directory, then by file name.  Directory
 * paths are compared as strings, so that "c/x-1" stands before "c/x/a".  A directory's path is greater than its parent's, so
 * visiting the least of all known directories next (a heap) meets them in that order, and each path is written just once.
 */
#include "loader/plan/folder/scan_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A known directory: the root, or one of the class at hand. */
struct scan_place {
	struct scan_place *parent; /* NULL for the root */
	struct scan_place *older;
	dev_t device; /* of the directory, once it was opened */
	ino_t inode;
	char path[]; /* relative to the root; "" for the root itself */
};

static int out_of_memory(const struct scan_walk *walk)
{
	return err_fail(walk->err, -ENOMEM, "%s: out of memory", walk->folder);
}

/* The reason stands first: the path may be too long for the sentence. */
static int cannot_read(const struct scan_walk *walk, const struct scan_place *place, int code)
{
	return err_fail(walk->err, code, "%s: cannot read the folder %s%s%s", strerror(-code), walk->folder,
	                *place->path ? "/" : "", place->path);
}

static bool is_link(const struct scan_walk *walk, const struct scan_place *place)
{
	struct stat status;

	return fstatat(walk->root_fd, place->path, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
}

/* A directory that is one of those above it holds itself.  Without a link between, it is the file system's numbers that repeat. */
static int refuse_loop(const struct scan_walk *walk, const struct scan_place *place)
{
	const struct scan_place *above = place->parent;

	while (above && (above->inode != place->inode || above->device != place->device))
		above = above->parent;
	if (!above)
		return 0;
	while (place != above && !is_link(walk, place))
		place = place->parent;
	if (place == above)
		return 0;
	return err_fail(walk->err, -ELOOP,
	                "%s/%s: this symbolic link leads back to a folder that holds it, %s%s%s; remove the link", walk->folder,
	                place->path, walk->folder, *above->path ? "/" : "", above->path);
}

/* Notes where the directory is and what it looks like; before it is read, so that what happens meanwhile is a change. */
static int identify(struct scan_walk *walk, struct scan_place *place, int fd)
{
	struct stat status;

	if (fstat(fd, &status) != 0)
		return cannot_read(walk, place, -errno);
	place->device = status.st_dev;
	place->inode = status.st_ino;
	if (walk->with_stamps && index_stamps_add(&walk->class->stamps, place->path, &status) != 0)
		return out_of_memory(walk);
	return refuse_loop(walk, place);
}

/* Lists `place` in walk->listing. */
static int visit(struct scan_walk *walk, struct scan_place *place)
{
	int fd = openat(walk->root_fd, *place->path ? place->path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result;

	if (fd < 0)
		return cannot_read(walk, place, -errno);
	result = identify(walk, place, fd);
	if (result) {
		close(fd);
		return result;
	}
	walk->links.place = place->path;
	result = listing_read(&walk->listing, fd);
	walk->links.place = NULL;
	return result ? cannot_read(walk, place, result) : 0;
}

/* Makes samples of the images in the listing, which is that of `place`. */
static int append_images(struct scan_walk *walk, const struct scan_place *place)
{
	const struct listing_names *images = &walk->listing.images;
	struct bytes *paths = &walk->class->paths;
	size_t path_chars = strlen(place->path);

	for (size_t i = 0; i < images->count; i++) {
		const char *name = listing_name(images, i);

		if (bytes_append(paths, place->path, path_chars) != 0 || bytes_append(paths, "/", path_chars ? 1 : 0) != 0 ||
		    bytes_append(paths, name, strlen(name) + 1) != 0)
			return out_of_memory(walk);
	}
	walk->class->sample_count += images->count;
	return 0;
}

/* The directory `name` in `parent` (the root: "" in NULL), or NULL when memory is short. */
static struct scan_place *add_place(struct scan_walk *walk, struct scan_place *parent, const char *name)
{
	size_t parent_chars = parent ? strlen(parent->path) : 0;
	struct scan_place *place = malloc(sizeof *place + parent_chars + 1 + strlen(name) + 1);

	if (!place)
		return NULL;
	place->parent = parent;
	if (parent_chars)
		stpcpy(stpcpy(stpcpy(place->path, parent->path), "/"), name);
	else
		stpcpy(place->path, name);
	place->older = walk->newest;
	walk->newest = place;
	return place;
}

static void forget_places(struct scan_walk *walk)
{
	while (walk->newest) {
		struct scan_place *place = walk->newest;

		walk->newest = place->older;
		free(place);
	}
}

static bool comes_before(const struct scan_place *left, const struct scan_place *right)
{
	return strcmp(left->path, right->path) < 0;
}

/* Adds the directory to those that are to be visited; NULL stands for one that found no memory. */
static int push_place(struct scan_walk *walk, struct scan_place *place)
{
	if (walk->heap_count == walk->heap_capacity) {
		size_t larger_capacity = walk->heap_capacity ? 2 * walk->heap_capacity : 64;
		struct scan_place **larger = reallocarray(walk->heap, larger_capacity, sizeof(struct scan_place *));

		if (!larger)
			return out_of_memory(walk);
		walk->heap = larger;
		walk->heap_capacity = larger_capacity;
	}
	if (!place)
		return out_of_memory(walk);

	struct scan_place **heap = walk->heap;
	size_t hole = walk->heap_count++;

	for (; hole > 0 && comes_before(place, heap[(hole - 1) / 2]); hole = (hole - 1) / 2)
		heap[hole] = heap[(hole - 1) / 2];
	heap[hole] = place;
	return 0;
}

/* The least of the directories that are to be visited; there must be one. */
static struct scan_place *pop_place(struct scan_walk *walk)
{
	struct scan_place **heap = walk->heap;
	struct scan_place *least = heap[0], *last = heap[--walk->heap_count];
	size_t hole = 0;

	for (;;) {
		size_t child = 2 * hole + 1;

		if (child + 1 < walk->heap_count && comes_before(heap[child + 1], heap[child]))
			child++;
		if (child >= walk->heap_count || !comes_before(heap[child], last))
			break;
		heap[hole] = heap[child];
		hole = child;
	}
	heap[hole] = last;
	return least;
}

static void begin_class(struct scan_walk *walk, struct scan_class *class)
{
	walk->class = class;
	class->stamps.began_ns = walk->began_ns;
}

/* Links are few, and mostly none: a class has a list of its own only if it met one. */
static int keep_links(struct scan_walk *walk)
{
	if (walk->links.count == 0 && walk->links.stay_beneath)
		return 0;
	walk->class->links = malloc(sizeof *walk->class->links);
	if (!walk->class->links)
		return out_of_memory(walk);
	*walk->class->links = walk->links;
	link_targets_open(&walk->links, walk->root_fd);
	return 0;
}

void scan_walk_open(struct scan_walk *walk, const struct scan_walk *of_root, struct err *err)
{
	*walk = (struct scan_walk){.root_fd = of_root->root_fd,
	                           .folder = of_root->folder,
	                           .root = of_root->root,
	                           .with_stamps = of_root->with_stamps,
	                           .began_ns = of_root->began_ns,
	                           .err = err};
	link_targets_open(&walk->links, walk->root_fd);
}

int scan_walk_root(struct scan_walk *walk, struct scan_class *class)
{
	int result;

	begin_class(walk, class);
	walk->listing.link_targets = &walk->links;
	walk->root = add_place(walk, NULL, "");
	if (!walk->root)
		return out_of_memory(walk);
	walk->newest = NULL; /* the root outlives this walk */
	result = visit(walk, walk->root);
	return result ? result : keep_links(walk);
}

int scan_walk_flat(struct scan_walk *walk, struct scan_class *class)
{
	begin_class(walk, class);
	return append_images(walk, walk->root);
}

/* The class folder and all below it, the least first. */
static int visit_all(struct scan_walk *walk)
{
	const struct listing_names *directories = &walk->listing.directories;
	int result = push_place(walk, add_place(walk, walk->root, walk->class->name));

	while (result == 0 && walk->heap_count > 0) {
		struct scan_place *place = pop_place(walk);

		result = visit(walk, place);
		for (size_t i = 0; result == 0 && i < directories->count; i++)
			result = push_place(walk, add_place(walk, place, listing_name(directories, i)));
		if (result == 0)
			result = append_images(walk, place);
	}
	walk->heap_count = 0;
	forget_places(walk);
	return result;
}

int scan_walk_class(struct scan_walk *walk, struct scan_class *class)
{
	int result;

	begin_class(walk, class);
	walk->listing.link_targets = &walk->links;
	result = visit_all(walk);
	if (result == 0 && class->sample_count == 0)
		result = err_fail(walk->err, -ENODATA,
		                  "%s/%s: a class folder, like every sub-folder of %s, but without an image (%s) at any depth; "
		                  "add one or remove the folder",
		                  walk->folder, class->name, walk->folder, LISTING_EXTENSIONS);
	return result ? result : keep_links(walk);
}

void scan_walk_close(struct scan_walk *walk)
{
	link_targets_close(&walk->links);
	listing_close(&walk->listing);
	free(walk->heap);
}

void scan_walk_free_root(struct scan_walk *walk)
{
	free(walk->root);
	walk->root = NULL;
}
