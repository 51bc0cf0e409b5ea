/* item.c - whose pixels a row is after: a sample of the dataset, or a file that a reader named.  Any thread. */
#include "loader/run/item.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* An absolute path is only taken where the root folder is that of all. */
static const char *relative(const char *path)
{
	path += strspn(path, "/");
	return path[0] != '\0' ? path : ".";
}

int item_file(const struct item *item, const struct dataset *dataset, struct dataset_file *file)
{
	if (item->half == RENDER_TARGET) {
		dataset_target(dataset, item->sample, file);
		return dataset_target_root_fd(dataset);
	}
	if (item->path)
		*file = (struct dataset_file){
			.path = relative(item->path), .fd = -1, .id = XXH3_64bits(item->path, strlen(item->path))};
	else
		dataset_image(dataset, item->sample, file);
	return dataset_root_fd(dataset);
}

struct file_bytes item_bytes(const struct item *item, const struct dataset *dataset)
{
	const struct fetch_buffer *buffer = item->buffer;
	struct dataset_file where;
	struct file_bytes file;

	if (buffer->runs)
		return file_bytes_in_runs(buffer->data, buffer->runs, &item->segments);
	file = file_bytes_with_part(buffer->data, buffer->byte_count, buffer->head_bytes, &buffer->part);
	(void)item_file(item, dataset, &where);
	file.id = where.id;
	if (item->has_stamp)
		file.stamp = &item->stamp;
	return file;
}

void item_drop_bytes(struct item *item, struct fetch *fetch)
{
	if (item->buffer)
		fetch_return(fetch, item->buffer);
	item->buffer = NULL;
}

int64_t item_label(const struct item *item, const struct dataset *dataset)
{
	if (item->path)
		return item->label;
	return item->sample < dataset_sample_count(dataset) ? dataset_label(dataset, item->sample) : -1;
}

const char *item_name(const struct item *item, const struct dataset *dataset, char *text, size_t text_bytes)
{
	struct dataset_file file;

	if (item->path)
		return item->path[0] != '\0' ? item->path : "an empty path";
	if (item->sample >= dataset_sample_count(dataset))
		return "a sample beyond the last";
	(void)item_file(item, dataset, &file);
	return dataset_file_name(&file, text, text_bytes);
}

const char *item_root(const struct item *item, const struct dataset *dataset)
{
	return item->half == RENDER_TARGET ? dataset_target_root(dataset) : dataset_root(dataset);
}
