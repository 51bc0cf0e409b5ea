/* pack_pictures.c - part of `cropring pack`: the samples of a dataset in, their pictures, each once, out.  One thread. */
#include "loader/pack/pack_pictures.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* What of a sample is looked for: its image, its target, or both behind one another. */
enum { IMAGE = 1, TARGET = 2 };

/* Pictures by what they are: open addressing, at most half full. */
struct table {
	uint64_t *place; /* a picture and 1 more; 0: free */
	uint64_t mask;
};

static void find_file(const struct dataset *dataset, uint64_t sample, int part, struct dataset_file *file)
{
	if (part == TARGET)
		dataset_target(dataset, sample, file);
	else
		dataset_image(dataset, sample, file);
}

static uint64_t hash_of(const struct dataset *dataset, uint64_t sample, int parts)
{
	uint64_t hash = (uint64_t)parts;

	for (int part = IMAGE; part <= TARGET; part++) {
		struct dataset_file file;

		if (!(parts & part))
			continue;
		find_file(dataset, sample, part, &file);
		hash = XXH3_64bits_withSeed(file.path, strlen(file.path), hash ^ file.offset);
	}
	return hash;
}

static bool are_same(const struct dataset *dataset, uint64_t left, uint64_t right, int parts)
{
	for (int part = IMAGE; part <= TARGET; part++) {
		struct dataset_file a, b;

		if (!(parts & part))
			continue;
		find_file(dataset, left, part, &a);
		find_file(dataset, right, part, &b);
		if (a.offset != b.offset || a.length != b.length || a.fd != b.fd || strcmp(a.path, b.path) != 0)
			return false;
	}
	return true;
}

/* The first of the sample's pictures, which are added where no sample before has the same. */
static uint64_t find_or_add(struct pack_pictures *pictures, struct table *table, uint64_t sample, int parts)
{
	uint64_t place = hash_of(pictures->dataset, sample, parts) & table->mask, picture;

	for (; table->place[place]; place = (place + 1) & table->mask) {
		picture = table->place[place] - 1;
		if (pack_picture_is_target(pictures, picture) == (parts == TARGET) &&
		    are_same(pictures->dataset, sample, pack_picture_sample(pictures, picture), parts))
			return picture;
	}
	picture = pictures->count;
	table->place[place] = picture + 1;
	if (parts & IMAGE)
		pictures->origin[pictures->count++] = 2 * sample;
	if (parts & TARGET)
		pictures->origin[pictures->count++] = 2 * sample + 1;
	return picture;
}

static bool reserve(struct pack_pictures *pictures, struct table *table, uint64_t sample_count, bool has_targets)
{
	uint64_t most = sample_count * (has_targets ? 2 : 1), places = 2;

	while (places < 2 * most)
		places *= 2;
	*table = (struct table){.place = calloc(places, sizeof *table->place), .mask = places - 1};
	pictures->origin = calloc(most, sizeof *pictures->origin);
	pictures->image_of = calloc(sample_count, sizeof *pictures->image_of);
	if (has_targets)
		pictures->target_of = calloc(sample_count, sizeof *pictures->target_of);
	return table->place && pictures->origin && pictures->image_of && (pictures->target_of || !has_targets);
}

int pack_pictures_open(struct pack_pictures *pictures, const struct dataset *dataset, bool pairs, struct err *err)
{
	uint64_t sample_count = dataset_sample_count(dataset);
	bool has_targets = dataset_has(dataset, INDEX_TARGET);
	struct table table;

	*pictures = (struct pack_pictures){.dataset = dataset};
	if (!reserve(pictures, &table, sample_count, has_targets)) {
		free(table.place);
		return err_fail(err, -ENOMEM, "out of memory for a list of %llu samples", (unsigned long long)sample_count);
	}
	for (uint64_t sample = 0; sample < sample_count; sample++) {
		if (has_targets && pairs) {
			pictures->image_of[sample] = find_or_add(pictures, &table, sample, IMAGE | TARGET);
			pictures->target_of[sample] = pictures->image_of[sample] + 1;
			continue;
		}
		pictures->image_of[sample] = find_or_add(pictures, &table, sample, IMAGE);
		if (has_targets)
			pictures->target_of[sample] = find_or_add(pictures, &table, sample, TARGET);
	}
	free(table.place);
	return 0;
}

void pack_pictures_close(struct pack_pictures *pictures)
{
	free(pictures->origin);
	free(pictures->image_of);
	free(pictures->target_of);
	*pictures = (struct pack_pictures){0};
}
