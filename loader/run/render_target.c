/* render_target.c - stages 3 and 4 for a row's target: header, the image's box, region of values, nearest.  One passage per thread. */
#include "loader/run/render_target.h"

#include <string.h>

struct cut_rule render_target_rule(const struct render_spec *spec, const struct image_info *info)
{
	return (struct cut_rule){.filter = info->sample_bits == 16 ? RESAMPLE_NEAREST_16 : RESAMPLE_NEAREST,
	                         .fidelity = FIDELITY_EXACT,
	                         .orientation = spec->cut.orientation,
	                         .as_stored = true};
}

static enum item_status check_kind(struct passage *passage, const struct render_spec *spec, const struct image_info *info)
{
	if (info->channels != 1)
		return passage_fail(passage, ITEM_UNSUPPORTED, "it has %u channels; a palette or gray image is expected",
		                    info->channels);
	if (info->sample_bits == 16 && spec->target_dtype != TARGET_UINT16)
		return passage_fail(passage, ITEM_UNSUPPORTED, "its values have 16 bits, which need --target-dtype uint16");
	return ITEM_OK;
}

/* What is asked for lay in the image: it does not lie in the target only if that has another size. */
static enum item_status choose_cut(struct passage *passage, const struct render_spec *spec, const struct crop_ask *ask,
                                   const struct render_row *row, struct cut *cut)
{
	struct cut_rule rule = render_target_rule(spec, &cut->info);
	uint32_t height_px = (uint32_t)row->source_size[0], width_px = (uint32_t)row->source_size[1];
	bool lies_inside = cut_choose(&spec->crop, &rule, ask, cut);

	if (!lies_inside || cut->width_px != width_px || cut->height_px != height_px)
		return passage_fail(passage, ITEM_MISMATCH, "it has %ux%u pixels (width x height), but its image %ux%u",
		                    cut->width_px, cut->height_px, width_px, height_px);
	return ITEM_OK;
}

/* `count` bytes in the second half of `values` become as many uint16 in all of it: none is written over before it is read. */
static void widen(uint8_t *values, size_t count)
{
	const uint8_t *bytes = values + count;

	for (size_t i = 0; i < count; i++) {
		uint16_t value = bytes[i];

		memcpy(values + 2 * i, &value, sizeof value);
	}
}

enum item_status render_target(struct passage *passage, const struct render_spec *spec, const struct file_bytes *file,
                               const struct crop_ask *ask, const struct render_row *row, uint64_t *shape_ns)
{
	size_t count = (size_t)spec->crop.out_width_px * spec->crop.out_height_px;
	bool widens;
	struct cut cut;
	enum item_status status = passage_probe(passage, file, &cut.info);

	if (status == ITEM_OK)
		status = check_kind(passage, spec, &cut.info);
	if (status == ITEM_OK)
		status = choose_cut(passage, spec, ask, row, &cut);
	if (status != ITEM_OK)
		return status;
	widens = spec->target_dtype == TARGET_UINT16 && cut.info.sample_bits != 16;
	status = passage_run(passage, file, &cut, cut.info.sample_bits == 16 ? 2 : 1, widens ? row->target + count : row->target,
	                     shape_ns);
	if (status == ITEM_OK && widens)
		widen(row->target, count);
	return status;
}
