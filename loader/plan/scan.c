/*
 * scan.c - part of stage 1 of 5: a folder in, class names and sample paths in their order out.  One thread.
 *
 * The order is that of torchvision's make_dataset(): within a class by the path of the directory, then by file name.  Directory
 * paths are compared as strings, so that "c/x-1" stands before "c/x/a".  A directory's path is greater than its parent's, so
 * visiting the least of all known directories next (a heap) meets them in that order, and each path is written just once.
 */
#include "loader/plan/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/plan/listing.h"

#define BLOCK_BYTES (256u * 1024)

/* Paths, one behind the other; a path may continue in the next block. */
struct scan_block {
	struct scan_block *next;
	size_t used_bytes;
	char bytes[BLOCK_BYTES];
};

/* A known directory: the root, or one of the class at hand. */
struct place {
	struct place *parent; /* NULL for the root */
	struct place *older;
	dev_t device; /* of the directory, once it was opened */
	ino_t inode;
	char path[]; /* relative to the root; "" for the root itself */
};

struct walk {
	struct scan *scan;
	int root_fd;
	const char *folder;
	struct err *err;
	struct listing listing; /* of the directory that was read last */
	struct place *newest;   /* all known directories */
	struct place **heap;    /* those that were not visited yet; heap[0] is the least */
	size_t heap_count, heap_capacity;
};

static int out_of_memory(const struct walk *walk)
{
	return err_fail(walk->err, -ENOMEM, "%s: out of memory after %llu images", walk->folder,
	                (unsigned long long)walk->scan->sample_count);
}

/* The reason stands first: the path may be too long for the sentence. */
static int cannot_read(const struct walk *walk, const struct place *place, int code)
{
	return err_fail(walk->err, code, "%s: cannot read the folder %s%s%s", strerror(-code), walk->folder,
	                *place->path ? "/" : "", place->path);
}

static bool is_link(const struct walk *walk, const struct place *place)
{
	struct stat status;

	return fstatat(walk->root_fd, place->path, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
}

/* A directory that is one of those above it holds itself.  Without a link between, it is the file system's numbers that repeat. */
static int refuse_loop(const struct walk *walk, const struct place *place)
{
	const struct place *above = place->parent;

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

/* Lists `place` in walk->listing. */
static int visit(struct walk *walk, struct place *place)
{
	struct stat status;
	int fd = openat(walk->root_fd, *place->path ? place->path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return cannot_read(walk, place, -errno);
	if (fstat(fd, &status) != 0) {
		int code = -errno;

		close(fd);
		return cannot_read(walk, place, code);
	}
	place->device = status.st_dev;
	place->inode = status.st_ino;

	int result = refuse_loop(walk, place);

	if (result) {
		close(fd);
		return result;
	}
	walk->scan->link_targets.place = place->path;
	result = listing_read(&walk->listing, fd);
	return result ? cannot_read(walk, place, result) : 0;
}

static struct scan_block *block_with_room(struct scan *scan)
{
	if (scan->last_block && scan->last_block->used_bytes < BLOCK_BYTES)
		return scan->last_block;

	struct scan_block *block = malloc(sizeof *block);

	if (!block)
		return NULL;
	block->next = NULL;
	block->used_bytes = 0;
	*(scan->last_block ? &scan->last_block->next : &scan->first_block) = block;
	scan->last_block = block;
	return block;
}

static int append_bytes(struct scan *scan, const char *bytes, size_t byte_count)
{
	while (byte_count > 0) {
		struct scan_block *block = block_with_room(scan);

		if (!block)
			return -ENOMEM;

		size_t room_bytes = BLOCK_BYTES - block->used_bytes;
		size_t part_bytes = byte_count < room_bytes ? byte_count : room_bytes;

		memcpy(block->bytes + block->used_bytes, bytes, part_bytes);
		block->used_bytes += part_bytes;
		scan->paths_bytes += part_bytes;
		bytes += part_bytes;
		byte_count -= part_bytes;
	}
	return 0;
}

/* Makes samples of the images in the listing, which is that of `place`. */
static int append_images(struct walk *walk, const struct place *place)
{
	const struct listing_names *images = &walk->listing.images;
	size_t path_chars = strlen(place->path);

	for (size_t i = 0; i < images->count; i++) {
		const char *name = listing_name(images, i);

		if (append_bytes(walk->scan, place->path, path_chars) != 0 ||
		    append_bytes(walk->scan, "/", path_chars ? 1 : 0) != 0 || append_bytes(walk->scan, name, strlen(name) + 1) != 0)
			return out_of_memory(walk);
	}
	walk->scan->sample_count += images->count;
	return 0;
}

/* The directory `name` in `parent` (the root: "" in NULL), or NULL when memory is short. */
static struct place *add_place(struct walk *walk, struct place *parent, const char *name)
{
	size_t parent_chars = parent ? strlen(parent->path) : 0;
	struct place *place = malloc(sizeof *place + parent_chars + 1 + strlen(name) + 1);

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

static void forget_places_after(struct walk *walk, const struct place *last)
{
	while (walk->newest != last) {
		struct place *place = walk->newest;

		walk->newest = place->older;
		free(place);
	}
}

static bool comes_before(const struct place *left, const struct place *right)
{
	return strcmp(left->path, right->path) < 0;
}

/* Adds the directory to those that are to be visited; NULL stands for one that found no memory. */
static int push_place(struct walk *walk, struct place *place)
{
	if (walk->heap_count == walk->heap_capacity) {
		size_t larger_capacity = walk->heap_capacity ? 2 * walk->heap_capacity : 64;
		struct place **larger = reallocarray(walk->heap, larger_capacity, sizeof(struct place *));

		if (!larger)
			return out_of_memory(walk);
		walk->heap = larger;
		walk->heap_capacity = larger_capacity;
	}
	if (!place)
		return out_of_memory(walk);

	struct place **heap = walk->heap;
	size_t hole = walk->heap_count++;

	for (; hole > 0 && comes_before(place, heap[(hole - 1) / 2]); hole = (hole - 1) / 2)
		heap[hole] = heap[(hole - 1) / 2];
	heap[hole] = place;
	return 0;
}

/* The least of the directories that are to be visited; there must be one. */
static struct place *pop_place(struct walk *walk)
{
	struct place **heap = walk->heap;
	struct place *least = heap[0], *last = heap[--walk->heap_count];
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

static int walk_class(struct walk *walk, struct place *root, struct scan_class *class)
{
	const struct listing_names *directories = &walk->listing.directories;
	uint64_t before_count = walk->scan->sample_count;
	int result = push_place(walk, add_place(walk, root, class->name));

	while (result == 0 && walk->heap_count > 0) {
		struct place *place = pop_place(walk);

		result = visit(walk, place);
		for (size_t i = 0; result == 0 && i < directories->count; i++)
			result = push_place(walk, add_place(walk, place, listing_name(directories, i)));
		if (result == 0)
			result = append_images(walk, place);
	}
	forget_places_after(walk, root);
	if (result)
		return result;

	class->sample_count = walk->scan->sample_count - before_count;
	if (class->sample_count == 0)
		return err_fail(walk->err, -ENODATA,
		                "%s/%s: a class folder, like every sub-folder of %s, but without an image (%s) at any depth; "
		                "add one or remove the folder",
		                walk->folder, class->name, walk->folder, LISTING_EXTENSIONS);
	return 0;
}

/* Makes classes of the directories in the listing, which is that of the root. */
static int append_classes(struct walk *walk)
{
	const struct listing_names *directories = &walk->listing.directories;
	struct scan *scan = walk->scan;

	scan->classes = calloc(directories->count, sizeof *scan->classes);
	if (!scan->classes)
		return out_of_memory(walk);
	for (size_t i = 0; i < directories->count; i++) {
		scan->classes[i].name = strdup(listing_name(directories, i));
		if (!scan->classes[i].name)
			return out_of_memory(walk);
		scan->class_count++;
	}
	return 0;
}

static int walk_root(struct walk *walk)
{
	const struct listing *listing = &walk->listing;
	struct scan *scan = walk->scan;
	struct place *root = add_place(walk, NULL, "");

	if (!root)
		return out_of_memory(walk);

	int result = visit(walk, root);

	if (result)
		return result;
	if (listing->directories.count == 0 && listing->images.count == 0)
		return err_fail(walk->err, -ENODATA, "%s: holds neither an image (%s) nor class folders", walk->folder,
		                LISTING_EXTENSIONS);
	if (listing->directories.count == 0)
		return append_images(walk, root);

	scan->stray_count = listing->images.count;
	result = append_classes(walk);
	for (uint32_t i = 0; result == 0 && i < scan->class_count; i++)
		result = walk_class(walk, root, &scan->classes[i]);
	return result;
}

int scan_open(struct scan *scan, int root_fd, const char *folder, struct err *err)
{
	struct walk walk = {.scan = scan, .root_fd = root_fd, .folder = folder, .err = err};

	*scan = (struct scan){.class_count = 0};
	link_targets_open(&scan->link_targets, root_fd);
	walk.listing.link_targets = &scan->link_targets;

	int result = walk_root(&walk);

	scan->link_targets.place = NULL;
	forget_places_after(&walk, NULL);
	listing_close(&walk.listing);
	free(walk.heap);
	return result;
}

void scan_take_paths(struct scan *scan, char *to)
{
	while (scan->first_block) {
		struct scan_block *block = scan->first_block;

		memcpy(to, block->bytes, block->used_bytes);
		to += block->used_bytes;
		scan->first_block = block->next;
		free(block);
	}
	scan->last_block = NULL;
}

void scan_close(struct scan *scan)
{
	while (scan->first_block) {
		struct scan_block *block = scan->first_block;

		scan->first_block = block->next;
		free(block);
	}
	for (uint32_t i = 0; i < scan->class_count; i++)
		free(scan->classes[i].name);
	free(scan->classes);
	link_targets_close(&scan->link_targets);
}
