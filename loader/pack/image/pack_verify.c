/*
 * Part of `cropring pack`: a picture's file and its packed file in, whether they are the same picture out.  One thread per room.
 *
 * Pixels go through a hash, row by row as they are decoded; only those of a few boxes are kept, for the regions.
 */
#include "loader/pack/image/pack_verify.h"

#include <stdarg.h>
#include <stdio.h>

#include "loader/pack/image/pack_verify_png.h"

enum { BOX_COUNT = 8, CORNER_COUNT = 4, BOX_MOST_PX = 80, BOX_MOST_BYTES = BOX_MOST_PX * BOX_MOST_PX * 3 };

struct pack_verify_room {
	XXH3_state_t state;
	uint32_t channels;
	struct box boxes[BOX_COUNT];
	uint8_t kept[BOX_COUNT][BOX_MOST_BYTES]; /* their rows, one behind the other */
	struct bytes runs;                       /* of the packed file */
};

struct pack_verify_room *pack_verify_room_open(void)
{
	void *room = NULL;

	/* The hash's state wants to be aligned to 64 bytes. */
	if (posix_memalign(&room, 64, sizeof(struct pack_verify_room)) != 0)
		return NULL;
	memset(room, 0, sizeof(struct pack_verify_room));
	return room;
}

void pack_verify_room_close(struct pack_verify_room *room)
{
	if (!room)
		return;
	bytes_free(&room->runs);
	free(room);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* The corners, and places that depend on nothing but the picture's size: the same file gives the same result everywhere. */
static void choose_boxes(struct pack_verify_room *room, const struct image_info *info)
{
	uint32_t seed[] = {info->width_px, info->height_px, 0};

	for (uint32_t i = 0; i < BOX_COUNT; i++) {
		XXH128_hash_t random = XXH3_128bits(seed, sizeof seed);
		uint32_t width = least(info->width_px, 1 + (uint32_t)(random.low64 % BOX_MOST_PX));
		uint32_t height = least(info->height_px, 1 + (uint32_t)(random.low64 >> 32) % BOX_MOST_PX);
		uint32_t most_x = info->width_px - width, most_y = info->height_px - height;

		room->boxes[i] = (struct box){.x = (int32_t)(random.high64 % (most_x + 1)),
		                              .y = (int32_t)((random.high64 >> 32) % (most_y + 1)),
		                              .width = (int32_t)width,
		                              .height = (int32_t)height};
		if (i < CORNER_COUNT) {
			room->boxes[i].x = i % 2 == 0 ? 0 : (int32_t)most_x;
			room->boxes[i].y = i / 2 == 0 ? 0 : (int32_t)most_y;
		}
		seed[2]++;
	}
}

/* Of a band of the whole picture, the box's pixels. */
static void keep_box(const struct pack_verify_room *room, const struct box *box, uint8_t *kept, uint32_t first_row,
                     const struct pixels *rows)
{
	size_t row_bytes = (size_t)box->width * room->channels;

	for (uint32_t y = 0; y < rows->height_px; y++) {
		uint32_t row = first_row + y;

		if (row >= (uint32_t)box->y && row < (uint32_t)(box->y + box->height))
			memcpy(kept + (row - (uint32_t)box->y) * row_bytes,
			       rows->data + y * rows->stride_bytes + (size_t)box->x * room->channels, row_bytes);
	}
}

/* Sinks; context is the room. */

static void hash_band(void *context, uint32_t first_row, const struct pixels *rows)
{
	struct pack_verify_room *room = context;

	(void)first_row; /* they come in order */
	for (uint32_t y = 0; y < rows->height_px; y++)
		(void)XXH3_128bits_update(&room->state, rows->data + y * rows->stride_bytes,
		                          (size_t)rows->width_px * room->channels);
}

static void hash_and_keep_band(void *context, uint32_t first_row, const struct pixels *rows)
{
	struct pack_verify_room *room = context;

	hash_band(room, first_row, rows);
	for (int i = 0; i < BOX_COUNT; i++)
		keep_box(room, &room->boxes[i], room->kept[i], first_row, rows);
}

static enum item_status hash_whole(struct pack_verify_room *room, struct decoder *decoder, const struct file_bytes *file,
                                   const struct image_info *info, const struct decode_want *want,
                                   void (*take)(void *, uint32_t, const struct pixels *), XXH128_hash_t *hash)
{
	enum item_status status;

	(void)XXH3_128bits_reset(&room->state);
	status = decode_rows(decoder, file, info, want, &(struct decode_sink){.take = take, .context = room});
	*hash = XXH3_128bits_digest(&room->state);
	return status;
}

__attribute__((format(printf, 2, 3))) static enum pack_outcome differs(struct packed_image *packed, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(packed->reason, sizeof packed->reason, format, arguments);
	va_end(arguments);
	return PACK_DIFFERENT;
}

/* The runs of the packed file that the region takes, as fetch would hand them over.  False: memory is short. */
static bool gather_runs(struct pack_verify_room *room, const struct packed_image *packed, const struct file_runs *runs)
{
	room->runs.used_bytes = 0;
	for (uint32_t i = 0; i < runs->count; i++) {
		if (bytes_append(&room->runs, packed->file.data + runs->run[i].offset, (size_t)runs->run[i].byte_count) != 0)
			return false;
	}
	return true;
}

static bool is_kept_box(const struct pixels *out, const uint8_t *kept)
{
	size_t row_bytes = (size_t)out->width_px * out->channels;

	for (uint32_t y = 0; y < out->height_px; y++) {
		if (memcmp(out->data + y * out->stride_bytes, kept + y * row_bytes, row_bytes) != 0)
			return false;
	}
	return true;
}

static enum pack_outcome compare_region(struct pack_verify_room *room, struct decoder *decoder, const struct segments *segments,
                                        const struct decode_want *want, const uint8_t *kept, struct packed_image *packed)
{
	enum pack_outcome outcome = PACK_SEGMENTED;
	struct file_runs *runs;
	struct pixels out;

	if (!decode_runs(segments, want, &runs))
		return outcome; /* all of the file: that has been looked at */
	if (!gather_runs(room, packed, runs)) {
		outcome = differs(packed, "no memory to look at regions");
	} else {
		struct file_bytes file = file_bytes_in_runs((const uint8_t *)room->runs.data, runs, segments);
		struct image_info info;

		if (decode_probe(decoder, &file, &info) != ITEM_OK || decode_region(decoder, &file, &info, want, &out) != ITEM_OK ||
		    !is_kept_box(&out, kept))
			outcome = differs(packed, "the region %dx%d at %d,%d differs when it is read by its segments %s",
			                  want->region.width, want->region.height, want->region.x, want->region.y,
			                  decoder_reason(decoder));
	}
	free(runs);
	return outcome;
}

/* Rows of one segment, alone, into the hash. */
static bool hash_segment(struct pack_verify_room *room, struct decoder *decoder, const struct segments *segments,
                         const struct decode_want *want, const struct packed_image *packed)
{
	const struct decode_sink sink = {.take = hash_band, .context = room};
	struct file_runs *runs;
	struct image_info info;
	bool is_read;

	if (!decode_runs(segments, want, &runs))
		return false;
	is_read = gather_runs(room, packed, runs);
	if (is_read) {
		struct file_bytes file = file_bytes_in_runs((const uint8_t *)room->runs.data, runs, segments);

		is_read = decode_probe(decoder, &file, &info) == ITEM_OK &&
		          decode_rows(decoder, &file, &info, want, &sink) == ITEM_OK;
	}
	free(runs);
	return is_read;
}

/*
 * A PNG's segment could need rows or bytes before it, which shows only where a crop begins with it.  (That a JPEG's cannot is what
 * restart markers mean, and the whole file was decoded by them.)  2.5 % of the time that packing a PNG takes.
 */
static enum pack_outcome compare_segments(struct pack_verify_room *room, struct decoder *decoder, const struct segments *segments,
                                          const struct decode_want *whole, XXH128_hash_t expected, struct packed_image *packed)
{
	uint32_t count = segments->header.segment_count, unit = segments->header.unit;

	if (segments->kind != SEGMENT_PNG || count == 1) /* which is the whole file */
		return PACK_SEGMENTED;
	(void)XXH3_128bits_reset(&room->state);
	for (uint32_t i = 0; i < count; i++) {
		struct decode_want want = *whole;

		want.region.y = (int32_t)(i * unit);
		want.region.height = (int32_t)least(unit, segments->height_px - i * unit);
		if (!hash_segment(room, decoder, segments, &want, packed))
			return differs(packed, "a segment cannot be decoded by itself");
	}
	return XXH128_isEqual(XXH3_128bits_digest(&room->state), expected) ? PACK_SEGMENTED
	                                                                   : differs(packed, "other pixels, by its segments");
}

static enum pack_outcome compare_regions(struct pack_verify_room *room, struct decoder *decoder, const struct image_info *info,
                                         const struct decode_want *whole, XXH128_hash_t expected, struct packed_image *packed)
{
	struct segments segments = {.width_px = info->width_px,
	                            .height_px = info->height_px,
	                            .orientation = info->orientation,
	                            .channels = info->channels,
	                            .sample_bits = info->sample_bits,
	                            .file_bytes = packed->file.used_bytes};
	enum pack_outcome outcome = PACK_SEGMENTED;

	if (packed->table.used_bytes == 0)
		return outcome;
	if (!segment_table_open(&segments, (const uint8_t *)packed->table.data, packed->table.used_bytes))
		return differs(packed, "a segment table that cannot be read");
	for (int i = 0; i < BOX_COUNT && outcome == PACK_SEGMENTED; i++) {
		struct decode_want want = *whole;

		want.region = room->boxes[i];
		outcome = compare_region(room, decoder, &segments, &want, room->kept[i], packed);
	}
	return outcome == PACK_SEGMENTED ? compare_segments(room, decoder, &segments, whole, expected, packed) : outcome;
}

static enum pack_outcome compare(struct pack_verify_room *room, struct decoder *decoder, const struct file_bytes *source,
                                 const struct image_info *info, const struct decode_want *want, struct packed_image *packed)
{
	struct file_bytes file = file_bytes_whole((const uint8_t *)packed->file.data, packed->file.used_bytes);
	XXH128_hash_t expected, found;
	struct image_info packed_info;

	room->channels = want->channels;
	if (hash_whole(room, decoder, source, info, want, hash_and_keep_band, &expected) != ITEM_OK) {
		(void)differs(packed, "%s", decoder_reason(decoder));
		return PACK_DAMAGED;
	}
	if (decode_probe(decoder, &file, &packed_info) != ITEM_OK ||
	    hash_whole(room, decoder, &file, &packed_info, want, hash_band, &found) != ITEM_OK)
		return differs(packed, "cannot be decoded: %s", decoder_reason(decoder));
	if (!XXH128_isEqual(expected, found))
		return differs(packed, "other pixels");
	return compare_regions(room, decoder, &packed_info, want, expected, packed);
}

/* What the decoder leaves out. */
static enum pack_outcome compare_pngs(const struct file_bytes *source, struct packed_image *packed)
{
	XXH128_hash_t expected, found;

	if (!pack_verify_png_hash(source->data, source->byte_count, &expected, packed->reason, sizeof packed->reason))
		return PACK_DAMAGED;
	if (!pack_verify_png_hash((const uint8_t *)packed->file.data, packed->file.used_bytes, &found, packed->reason,
	                          sizeof packed->reason))
		return PACK_DIFFERENT;
	return XXH128_isEqual(expected, found) ? PACK_SEGMENTED : differs(packed, "other pixels, as stored");
}

enum pack_outcome pack_verify(struct pack_verify_room *room, struct decoder *decoder, const struct file_bytes *source,
                              const struct image_info *info, struct packed_image *packed)
{
	struct box whole = {0, 0, (int32_t)info->width_px, (int32_t)info->height_px};
	struct decode_want colours = {.region = whole, .channels = 3, .scale_eighths = 8}, values = colours;
	enum pack_outcome outcome = PACK_SEGMENTED;
	bool is_gray_jpeg = info->format == IMAGE_JPEG && info->channels == 1; /* whose colours are its values, three times */

	values.as_stored = true;
	values.channels = info->sample_bits == 16 ? 2 : 1;
	choose_boxes(room, info);
	if (!is_gray_jpeg)
		outcome = compare(room, decoder, source, info, &colours, packed);
	if (outcome == PACK_SEGMENTED && info->channels == 1)
		outcome = compare(room, decoder, source, info, &values, packed);
	if (outcome == PACK_SEGMENTED && info->format == IMAGE_PNG)
		outcome = compare_pngs(source, packed);
	return outcome;
}
