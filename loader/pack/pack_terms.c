/* pack_terms.c - part of `cropring pack`: what a pack is made of and how, before and now.  Any thread. */
#include "loader/pack/pack_terms.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <zlib.h>

#define TEXT_OF(macro)  #macro
#define VALUE_OF(macro) TEXT_OF(macro)

void pack_terms_set(struct pack_terms *terms, const struct pack_rules *rules, enum pack_verify verify)
{
	*terms = (struct pack_terms){
		.max_pixels = rules->max_pixels,
		.most_memory_bytes = rules->most_memory_bytes,
		.segment_px = rules->segment_px,
		.png_rows = rules->png_rows,
		.png_level = rules->png_level,
		.verify = verify,
		.keep_metadata = rules->keep_metadata,
		.bmp_to_png = rules->bmp_to_png,
	};
	snprintf(terms->made_by, sizeof terms->made_by, "cropring %s, libjpeg-turbo %s, zlib %.16s", CROPRING_VERSION,
	         VALUE_OF(LIBJPEG_TURBO_VERSION), zlibVersion());
}

static int refuse_flag(const char *flag, const char *before, const char *now, struct err *err)
{
	return err_fail(err, -EINVAL, "--%s was %s when this packing began, and is %s now; say the same again", flag, before, now);
}

/* "auto" and "none" as the command line has them. */
static int compare_size(const char *flag, uint32_t before, uint32_t now, struct err *err)
{
	char text[2][16];

	if (before == now)
		return 0;
	for (int i = 0; i < 2; i++) {
		uint32_t value = i == 0 ? before : now;

		snprintf(text[i], sizeof text[i], "%u", value == PACK_NO_SEGMENTS ? 0 : value);
		if (value == 0)
			strcpy(text[i], "auto");
	}
	return refuse_flag(flag, text[0], text[1], err);
}

static int compare_number(const char *flag, uint64_t before, uint64_t now, struct err *err)
{
	char text[2][24];

	if (before == now)
		return 0;
	snprintf(text[0], sizeof text[0], "%llu", (unsigned long long)before);
	snprintf(text[1], sizeof text[1], "%llu", (unsigned long long)now);
	return refuse_flag(flag, text[0], text[1], err);
}

static int compare_switch(const char *flag, uint32_t before, uint32_t now, struct err *err)
{
	return before == now ? 0 : refuse_flag(flag, before ? "on" : "off", now ? "on" : "off", err);
}

static int compare_verify(uint32_t before, uint32_t now, struct err *err)
{
	static const char *const names[] = {"all", "sample", "none"};

	return before == now || before > PACK_VERIFY_NONE ? 0 : refuse_flag("verify", names[before], names[now], err);
}

int pack_terms_compare(const struct pack_terms *before, const struct pack_terms *now, struct err *err)
{
	int rc;

	if (memcmp(before, now, sizeof *now) == 0)
		return 0;
	rc = compare_size("segment-px", before->segment_px, now->segment_px, err);
	rc = rc ? rc : compare_size("png-rows", before->png_rows, now->png_rows, err);
	rc = rc ? rc : compare_number("png-level", before->png_level, now->png_level, err);
	rc = rc ? rc : compare_switch("keep-metadata", before->keep_metadata, now->keep_metadata, err);
	rc = rc ? rc : compare_switch("bmp-to-png", before->bmp_to_png, now->bmp_to_png, err);
	rc = rc ? rc : compare_verify(before->verify, now->verify, err);
	rc = rc ? rc : compare_number("shard-bytes", before->shard_bytes, now->shard_bytes, err);
	rc = rc ? rc : compare_number("max-pixels", before->max_pixels, now->max_pixels, err);
	rc = rc ? rc : compare_number("memory-bytes", before->most_memory_bytes, now->most_memory_bytes, err);
	if (rc < 0)
		return rc;
	if (memcmp(before->made_by, now->made_by, sizeof now->made_by) != 0)
		return err_fail(err, -EINVAL, "this packing began with %.95s, and this is %.95s, which may not give the same bytes",
		                before->made_by, now->made_by);
	if (before->sample_count != now->sample_count)
		return err_fail(err, -EINVAL, "the source had %llu samples when this packing began, and has %llu now",
		                (unsigned long long)before->sample_count, (unsigned long long)now->sample_count);
	return err_fail(err, -EINVAL, "the source is not the one that this packing began with: names, labels or boxes differ");
}
