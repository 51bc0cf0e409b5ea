/* tar_samples.c - part of stage 1 of 5: the members of one shard in, samples out.  One thread for each shard. */
#include "loader/plan/tar/tar_samples.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "loader/plan/folder/listing.h"
#include "loader/plan/tar/tar_walk.h"

#define MOST_CLS_BYTES  4096u
#define MOST_JSON_BYTES (1u << 20)

/* Where a member is; its header is never at 0 unless it is the archive's first. */
struct place {
	bool is_there;
	uint64_t header_at, offset, length;
};

/* The members of one key, so far. */
struct group {
	bool is_open;
	char key[TAR_NAME_MAX_CHARS + 1];
	size_t key_chars;
	struct place image, target, cls, json;
	bool is_plain;     /* the image's extension is one such as jpg, not left.jpg */
	uint64_t rival_at; /* the header of another image that is as good; 0: there is none, for it is never the first */
};

/* One shard while it is read. */
struct reading {
	struct tar_samples *samples;
	const char *target_extension;
	struct tar_walk walk;
	struct tar_member member;
	struct group group;
	struct err *err;
};

__attribute__((format(printf, 3, 4))) static int refuse(const struct reading *reading, uint64_t at, const char *format, ...)
{
	char what[sizeof reading->err->text];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	return err_fail(reading->err, -EINVAL, "%.200s at byte %llu: sample %.80s: %.200s", reading->walk.name,
	                (unsigned long long)at, reading->group.key, what);
}

static int no_memory(const struct reading *reading)
{
	return err_fail(reading->err, -ENOMEM, "%s: out of memory", reading->walk.name);
}

/* ------------------------------------------------------------------ labels */

/* Keeps this text, NUL-terminated, as the sample's label. */
static int take_label(struct reading *reading, struct tar_sample *sample, const char *text)
{
	struct tar_samples *samples = reading->samples;
	size_t bytes = strlen(text) + 1;

	if (samples->count > 0 && samples->sample[samples->count - 1].label_at != TAR_NO_LABEL &&
	    strcmp(samples->labels + samples->sample[samples->count - 1].label_at, text) == 0) {
		sample->label_at = samples->sample[samples->count - 1].label_at;
		return 0;
	}
	if (bytes > samples->labels_capacity - samples->labels_bytes) {
		size_t capacity = 2 * samples->labels_capacity + bytes + 4096;
		char *labels = realloc(samples->labels, capacity);

		if (!labels)
			return no_memory(reading);
		samples->labels = labels;
		samples->labels_capacity = capacity;
	}
	memcpy(samples->labels + samples->labels_bytes, text, bytes);
	sample->label_at = samples->labels_bytes;
	samples->labels_bytes += bytes;
	return 0;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static int read_cls(struct reading *reading, struct tar_sample *sample)
{
	const struct place *cls = &reading->group.cls;
	char text[MOST_CLS_BYTES + 1], *begin = text, *end = text + cls->length;
	int rc;

	if (cls->length > MOST_CLS_BYTES)
		return refuse(reading, cls->header_at, "its .cls has %llu bytes; expected a class number or name of at most %u",
		              (unsigned long long)cls->length, MOST_CLS_BYTES);
	rc = tar_walk_read(&reading->walk, cls->offset, text, (size_t)cls->length, reading->err);
	if (rc < 0)
		return rc;
	while (begin < end && is_space(*begin))
		begin++;
	while (end > begin && is_space(end[-1]))
		end--;
	*end = '\0';
	for (const char *at = begin; at < end; at++)
		if ((unsigned char)*at < ' ')
			return refuse(reading, cls->header_at,
			              "its .cls holds the byte %u; expected a class number or name in one line",
			              (unsigned char)*at);
	if (begin == end)
		return refuse(reading, cls->header_at, "its .cls is empty; expected a class number or name");
	return take_label(reading, sample, begin);
}

static int take_json_value(struct reading *reading, struct tar_sample *sample, const char *key, const json_t *value)
{
	const char *text = json_string_value(value);
	char digits[24];

	if (json_is_null(value))
		return 0;
	if (json_is_integer(value)) {
		snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(value));
		text = digits;
	}
	if (!text || text[0] == '\0')
		return refuse(reading, reading->group.json.header_at,
		              "\"%s\" in its .json is neither a whole number nor a string with characters in it", key);
	return take_label(reading, sample, text);
}

static int read_json(struct reading *reading, struct tar_sample *sample)
{
	const struct place *json = &reading->group.json;
	json_error_t fault;
	json_t *object, *value;
	char *text;
	int rc;

	if (json->length > MOST_JSON_BYTES)
		return refuse(reading, json->header_at, "its .json has %llu bytes; at most %u are read",
		              (unsigned long long)json->length, MOST_JSON_BYTES);
	text = malloc((size_t)json->length + 1);
	if (!text)
		return no_memory(reading);
	rc = tar_walk_read(&reading->walk, json->offset, text, (size_t)json->length, reading->err);
	object = rc == 0 ? json_loadb(text, (size_t)json->length, JSON_DECODE_ANY, &fault) : NULL;
	free(text);
	if (rc == 0 && !object)
		rc = refuse(reading, json->header_at, "its .json, line %d, column %d: %.100s", fault.line, fault.column,
		            fault.text);
	value = json_object_get(object, "label");
	if (rc == 0 && value)
		rc = take_json_value(reading, sample, "label", value);
	else if (rc == 0 && (value = json_object_get(object, "cls")))
		rc = take_json_value(reading, sample, "cls", value);
	json_decref(object);
	return rc;
}

/* ------------------------------------------------------------------ samples */

static int keep_sample(struct reading *reading, const struct tar_sample *sample)
{
	struct tar_samples *samples = reading->samples;

	if (samples->count == samples->capacity) {
		size_t capacity = samples->capacity ? 2 * samples->capacity : 1024;
		struct tar_sample *larger = reallocarray(samples->sample, capacity, sizeof *larger);

		if (!larger)
			return no_memory(reading);
		samples->sample = larger;
		samples->capacity = capacity;
	}
	samples->sample[samples->count++] = *sample;
	return 0;
}

/* The group is complete, if there is one. */
static int end_group(struct reading *reading)
{
	struct group *group = &reading->group;
	struct tar_sample sample = {.offset = group->image.offset, .length = group->image.length, .label_at = TAR_NO_LABEL};
	int rc = 0;

	if (!group->is_open)
		return 0;
	group->is_open = false;
	if (!group->image.is_there) {
		reading->samples->imageless_count++;
		reading->samples->lost_label_count += group->cls.is_there || group->json.is_there;
		return 0;
	}
	if (group->rival_at)
		return refuse(reading, group->rival_at,
		              "a second image; expected one, and perhaps another with the extension that --targets names");
	if (reading->target_extension && !group->target.is_there)
		return refuse(reading, group->image.header_at,
		              "no .%.40s, which --targets names: of shards, the extension of their members, such as seg.png",
		              reading->target_extension);
	sample.target_offset = group->target.offset;
	sample.target_length = group->target.length;
	if (group->cls.is_there)
		rc = read_cls(reading, &sample);
	else if (group->json.is_there)
		rc = read_json(reading, &sample);
	reading->samples->unlabelled_count += sample.label_at == TAR_NO_LABEL;
	return rc == 0 ? keep_sample(reading, &sample) : rc;
}

static int take_image(struct reading *reading, const struct place *place, bool is_plain)
{
	struct group *group = &reading->group;

	if (!group->image.is_there || (is_plain && !group->is_plain)) {
		group->image = *place;
		group->is_plain = is_plain;
		group->rival_at = 0;
	} else if (is_plain == group->is_plain) {
		group->rival_at = place->header_at;
	}
	return 0;
}

static int take_once(struct reading *reading, struct place *kept, const struct place *place, const char *extension)
{
	if (kept->is_there)
		return refuse(reading, place->header_at, "a second .%.40s; expected one", extension);
	*kept = *place;
	return 0;
}

/* `extension` is the member's, in any case. */
static int take_member(struct reading *reading, const char *extension)
{
	struct group *group = &reading->group;
	const struct place place = {true, reading->member.header_at, reading->member.offset, reading->member.length};

	if (reading->target_extension && strcasecmp(extension, reading->target_extension) == 0)
		return take_once(reading, &group->target, &place, extension);
	if (strcasecmp(extension, "cls") == 0)
		return take_once(reading, &group->cls, &place, extension);
	if (strcasecmp(extension, "json") == 0)
		return take_once(reading, &group->json, &place, extension);
	if (listing_is_image_name(extension - 1)) /* with its dot */
		return take_image(reading, &place, strchr(extension, '.') == NULL);
	return 0;
}

/* What stands before the first dot of the name's last part, and what behind it.  False: this is no member of a sample. */
static bool split_name(const char *name, size_t *key_chars, const char **extension)
{
	const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name, *dot = strchr(last, '.');
	size_t first_chars = strcspn(name, "/");

	if (!dot || dot == last)
		return false;
	/* __like_this__ is WebDataset's own, for people and programs to come. */
	if (first_chars >= 4 && memcmp(name, "__", 2) == 0 && memcmp(name + first_chars - 2, "__", 2) == 0)
		return false;
	*key_chars = (size_t)(dot - name);
	*extension = dot + 1;
	return true;
}

static int sort_in(struct reading *reading)
{
	struct group *group = &reading->group;
	const char *name = reading->member.name, *extension;
	size_t key_chars;
	int rc;

	if (!split_name(name, &key_chars, &extension))
		return 0;
	if (!group->is_open || key_chars != group->key_chars || memcmp(name, group->key, key_chars) != 0) {
		rc = end_group(reading);
		if (rc < 0)
			return rc;
		memcpy(group->key, name, key_chars);
		group->key[key_chars] = '\0';
		group->key_chars = key_chars;
		group->image = group->target = group->cls = group->json = (struct place){.is_there = false};
		group->rival_at = 0;
		group->is_open = true;
	}
	return take_member(reading, extension);
}

int tar_samples_read(struct tar_samples *samples, int fd, const char *name, const char *target_extension, struct err *err)
{
	struct reading *reading = malloc(sizeof *reading);
	int rc;

	*samples = (struct tar_samples){.count = 0};
	if (!reading)
		return err_fail(err, -ENOMEM, "%s: out of memory", name);
	reading->samples = samples;
	reading->target_extension = target_extension;
	reading->err = err;
	reading->group.is_open = false;
	rc = tar_walk_open(&reading->walk, fd, name, err);
	while (rc == 0 && (rc = tar_walk_next(&reading->walk, &reading->member, err)) == 1)
		rc = sort_in(reading);
	if (rc == 0)
		rc = end_group(reading);
	tar_walk_close(&reading->walk);
	free(reading);
	return rc;
}

void tar_samples_close(struct tar_samples *samples)
{
	free(samples->sample);
	free(samples->labels);
	*samples = (struct tar_samples){.count = 0};
}
