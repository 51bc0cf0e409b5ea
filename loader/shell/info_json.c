/* info_json.c - part of `cropring info`: what was found out in, an object for programs on standard output out.  One thread. */
#include <stdio.h>

#include <jansson.h>

#include "loader/run/printable.h"
#include "loader/shell/info_report.h"

static const char *const format_names[INFO_FORMATS] = {"other", "JPEG", "PNG", "BMP"};

static void set_count(json_t *object, const char *name, uint64_t count)
{
	json_object_set_new(object, name, json_integer((json_int_t)count));
}

static void set_mean(json_t *object, const char *name, double sum, uint64_t count)
{
	json_object_set_new(object, name, json_real(count ? sum / (double)count : 0));
}

static void set_text(json_t *object, const char *name, const char *text)
{
	char shown[1024];

	printable_utf8(shown, sizeof shown, text);
	json_object_set_new(object, name, json_string(shown));
}

static json_t *json_from_formats(const struct info_report *report)
{
	json_t *formats = json_object();

	for (int i = 0; i < INFO_FORMATS; i++)
		set_count(formats, format_names[i], report->formats[i]);
	return formats;
}

static json_t *json_from_size(const struct info_size *size)
{
	return json_pack("[I, I]", (json_int_t)size->width_px, (json_int_t)size->height_px);
}

static json_t *json_from_sizes(const struct info_report *report)
{
	const struct info_size *sizes = report->sizes;
	uint64_t last = report->size_count - 1;

	if (!report->size_count)
		return json_null();
	return json_pack("{s:o, s:o, s:o}", "smallest", json_from_size(&sizes[0]), "median", json_from_size(&sizes[last / 2]),
	                 "largest", json_from_size(&sizes[last]));
}

static json_t *json_from_segments(const struct info_segments *sum, const char *unit_name)
{
	json_t *object = json_object();

	set_count(object, "images", sum->images);
	set_mean(object, "of_an_image", (double)sum->segments, sum->images);
	set_mean(object, unit_name, (double)sum->units, sum->segments);
	set_mean(object, "bytes", (double)sum->bytes, sum->segments);
	return object;
}

static json_t *json_from_costs(const struct info_cost *costs)
{
	json_t *object = json_object();

	for (int rule = 0; rule < INFO_RULE_COUNT; rule++) {
		const struct info_cost *cost = &costs[rule];
		json_t *one = json_object();

		set_mean(one, "read_bytes", cost->read_bytes, cost->crops);
		set_mean(one, "read_share", cost->read_share, cost->crops);
		set_mean(one, "decoded_px", cost->decoded_px, cost->crops);
		set_mean(one, "decoded_share", cost->decoded_share, cost->crops);
		json_object_set_new(object, info_rule_name((enum info_rule)rule), one);
	}
	return object;
}

static json_t *json_from_crops(const struct info_report *report)
{
	json_t *object = json_object(), *whole = json_object();

	json_object_set_new(object, "size",
	                    json_pack("[I, I]", (json_int_t)report->crops.height_px, (json_int_t)report->crops.width_px));
	set_count(object, "seed", report->crops.seed);
	set_count(object, "images", report->decodable);
	if (report->kind != INFO_PACK)
		json_object_set_new(object, "now", json_from_costs(report->now));
	json_object_set_new(object, "packed", json_from_costs(report->packed));
	set_mean(whole, "bytes", report->whole_bytes, report->decodable);
	set_mean(whole, "px", report->whole_px, report->decodable);
	json_object_set_new(object, "whole", whole);
	return object;
}

static json_t *json_from_tally(const struct pack_tally *tally)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < tally->kind_count; i++) {
		json_t *one = json_object();

		set_text(one, "outcome", pack_outcome_name(tally->kind[i].outcome));
		set_text(one, "reason", tally->kind[i].reason);
		set_count(one, "images", tally->kind[i].count);
		json_array_append_new(array, one);
	}
	return array;
}

static void set_pack(json_t *object, const struct info_report *report)
{
	set_count(object, "version", 1);
	set_count(object, "shards", report->shards);
	set_count(object, "bytes", report->pack_bytes);
	set_count(object, "original_bytes", report->original_bytes);
	set_count(object, "image_bytes", report->image_bytes);
	set_count(object, "table_bytes", report->table_bytes);
	set_count(object, "with_segments", report->with_segments);
	set_count(object, "segment_px", report->segment_px);
	set_count(object, "png_rows", report->png_rows);
	if (report->is_verified) {
		set_count(object, "damaged_images", report->damaged_images);
		set_count(object, "damaged_tables", report->damaged_tables);
	}
}

/* Numbers of memory that ran out are left out: an object that is NULL is not set. */
void info_report_print_json(const struct info_report *report)
{
	static const char *const kinds[] = {"file", "pack", "source"};
	json_t *object = json_object(), *segments = json_object();

	set_text(object, "name", report->name);
	set_text(object, "kind", kinds[report->kind]);
	if (report->kind != INFO_FILE) {
		set_count(object, "samples", report->samples);
		set_count(object, "images", report->images);
		set_count(object, "targets", report->targets);
		set_count(object, "classes", report->classes);
	}
	if (report->kind == INFO_PACK) {
		set_pack(object, report);
	} else {
		set_count(object, "sampled_bytes", report->source_bytes);
		set_count(object, "would_be_bytes", report->would_be_bytes);
		json_object_set_new(object, "would_be", json_from_tally(&report->tally));
	}
	if (report->kind == INFO_FILE)
		set_text(object, "detail", report->detail);
	set_count(object, "sampled", report->sampled);
	json_object_set_new(object, "formats", json_from_formats(report));
	json_object_set_new(object, "sizes", json_from_sizes(report));
	json_object_set_new(segments, "JPEG", json_from_segments(&report->segments[0], "width_px"));
	json_object_set_new(segments, "PNG", json_from_segments(&report->segments[1], "rows"));
	json_object_set_new(object, "segments", segments);
	json_object_set_new(object, "crops", json_from_crops(report));
	json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(object);
}
