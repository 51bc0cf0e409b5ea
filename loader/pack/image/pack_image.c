/* Part of `cropring pack`: an image's file in, what is stored of it out.  One thread per worker. */
#include "loader/pack/image/pack_image.h"

#include <ctype.h>
#include <stdio.h>

#include "loader/pack/image/pack_bmp.h"
#include "loader/pack/image/pack_jpeg.h"
#include "loader/pack/image/pack_png.h"
#include "loader/pack/image/pack_verify.h"

struct pack_worker {
	struct pack_rules rules;
	struct decoder *decoder;
	struct pack_verify_room *room;
};

struct pack_worker *pack_worker_open(const struct pack_rules *rules)
{
	struct pack_worker *worker = calloc(1, sizeof *worker);

	if (!worker)
		return NULL;
	worker->rules = *rules;
	worker->decoder = decoder_open(&(struct decode_limits){.max_pixels = rules->max_pixels});
	worker->room = pack_verify_room_open();
	if (worker->decoder && worker->room)
		return worker;
	pack_worker_close(worker);
	return NULL;
}

void pack_worker_close(struct pack_worker *worker)
{
	if (!worker)
		return;
	decoder_close(worker->decoder);
	pack_verify_room_close(worker->room);
	free(worker);
}

void packed_image_close(struct packed_image *image)
{
	bytes_free(&image->file);
	bytes_free(&image->table);
}

const char *pack_outcome_name(enum pack_outcome outcome)
{
	static const char *const names[PACK_OUTCOME_COUNT] = {
		[PACK_SEGMENTED] = "segmented",     [PACK_SMALL] = "small",         [PACK_BMP] = "BMP",
		[PACK_UNSUPPORTED] = "unsupported", [PACK_DAMAGED] = "damaged",     [PACK_KIND] = "of a kind that stays as it is",
		[PACK_LARGE] = "too large",         [PACK_DIFFERENT] = "different",
	};

	return outcome < PACK_OUTCOME_COUNT ? names[outcome] : "unknown";
}

/* The decoder's words without their numbers, so that they can be counted: "4x5 pixels" becomes "N pixels". */
static void drop_numbers(char *text)
{
	char *to = text;

	for (const char *at = text; *at != '\0';) {
		bool begins_word = at == text || !isalnum((unsigned char)at[-1]);

		if (begins_word && isdigit((unsigned char)*at)) {
			*to++ = 'N';
			while (isalnum((unsigned char)*at))
				at++;
		} else {
			*to++ = *at++;
		}
	}
	*to = '\0';
}

static void store_source(struct packed_image *out, enum pack_outcome outcome)
{
	packed_image_close(out);
	out->is_source = true;
	out->outcome = outcome;
}

static enum pack_outcome outcome_of(enum item_status status)
{
	switch (status) {
	case ITEM_TOO_LARGE:
		return PACK_LARGE;
	case ITEM_EMPTY:
	case ITEM_NOT_AN_IMAGE:
	case ITEM_UNSUPPORTED:
		return PACK_UNSUPPORTED;
	default:
		return PACK_DAMAGED;
	}
}

static void describe(const struct image_info *info, struct index_image *image)
{
	*image = (struct index_image){.width_px = info->width_px,
	                              .height_px = info->height_px,
	                              .format = (uint8_t)info->format,
	                              .orientation = info->orientation,
	                              .channels = info->channels,
	                              .sample_bits = info->sample_bits};
}

static int convert(struct pack_worker *worker, const struct file_bytes *source, const struct image_info *info,
                   struct packed_image *out)
{
	switch (info->format) {
	case IMAGE_JPEG:
		return pack_jpeg(&worker->rules, source->data, source->byte_count, out);
	case IMAGE_PNG:
		return pack_png(&worker->rules, source->data, source->byte_count, out);
	default: /* BMP: no other is described */
		out->outcome = PACK_BMP;
		return worker->rules.bmp_to_png ? pack_bmp(&worker->rules, worker->decoder, source, info, out) : 0;
	}
}

static void drop_rows(void *context, uint32_t first_row, const struct pixels *rows)
{
	(void)context;
	(void)first_row;
	(void)rows;
}

static bool can_be_decoded(struct pack_worker *worker, const struct file_bytes *source, const struct image_info *info)
{
	struct decode_want want = {
		.region = {0, 0, (int32_t)info->width_px, (int32_t)info->height_px}, .channels = 3, .scale_eighths = 8};

	return decode_rows(worker->decoder, source, info, &want, &(struct decode_sink){.take = drop_rows}) == ITEM_OK;
}

/* The same numbers, which plans and targets go by; but a BMP's palette of fewer colours becomes one of 8 bits. */
static bool is_described_alike(const struct image_info *a, const struct image_info *b)
{
	return a->width_px == b->width_px && a->height_px == b->height_px && a->orientation == b->orientation &&
	       a->channels == b->channels && (a->sample_bits == 16) == (b->sample_bits == 16);
}

static void check(struct pack_worker *worker, const struct file_bytes *source, const struct image_info *info, bool verify,
                  struct packed_image *out)
{
	struct file_bytes packed = file_bytes_whole((const uint8_t *)out->file.data, out->file.used_bytes);
	enum pack_outcome found = PACK_SEGMENTED;
	struct image_info packed_info;

	if (decode_probe(worker->decoder, &packed, &packed_info) != ITEM_OK || !is_described_alike(info, &packed_info)) {
		snprintf(out->reason, sizeof out->reason, "another header %s", decoder_reason(worker->decoder));
		store_source(out, PACK_DIFFERENT);
		return;
	}
	if (verify)
		found = pack_verify(worker->room, worker->decoder, source, info, out);
	if (found != PACK_SEGMENTED) {
		store_source(out, found);
		return;
	}
	describe(&packed_info, &out->image);
	out->image.segments_bytes = (uint32_t)out->table.used_bytes;
}

int pack_image(struct pack_worker *worker, const uint8_t *source, size_t source_bytes, bool verify, struct packed_image *out)
{
	struct file_bytes file = file_bytes_whole(source, source_bytes);
	struct image_info info;
	enum item_status status;
	int rc = 0;

	*out = (struct packed_image){.is_source = true};
	status = decode_probe(worker->decoder, &file, &info);
	if (status != ITEM_OK) {
		out->outcome = outcome_of(status);
		snprintf(out->reason, sizeof out->reason, "%s", decoder_reason(worker->decoder));
		if (status != ITEM_UNSUPPORTED) /* "a JPEG 2000 file" */
			drop_numbers(out->reason);
	} else {
		rc = convert(worker, &file, &info, out);
		describe(&info, &out->image);
		out->is_source = out->file.used_bytes == 0;
		if (rc == 0 && !out->is_source)
			check(worker, &file, &info, verify, out);
		if (out->outcome == PACK_DAMAGED || out->outcome == PACK_KIND)
			drop_numbers(out->reason);
		/* What libjpeg and libpng find fault with need not be a bad sample. */
		if (rc == 0 && out->outcome == PACK_DAMAGED && can_be_decoded(worker, &file, &info))
			out->outcome = PACK_KIND;
	}
	if (out->outcome == PACK_DAMAGED)
		out->image = (struct index_image){0};
	return rc;
}
