/*
 * info_cost.h - part of `cropring info`: a picture in; what crops of it read and decode, as the loader does it, out.  Any thread.
 *
 * Nothing is read or decoded for it: the loader's own rules say which box, region and runs of bytes it would be.
 */
#ifndef CROPRING_INFO_COST_H
#define CROPRING_INFO_COST_H

#include "loader/decode/decode.h"

/* The rules of --crop whose boxes are the loader's to choose. */
enum info_rule { INFO_RANDOM, INFO_CENTER, INFO_RANDOM_RESIZED, INFO_RULE_COUNT };

struct info_picture {
	struct image_info info;
	uint64_t file_bytes;
	struct segments segments; /* kind SEGMENT_NONE: it has none */
	bool in_one_piece;        /* progressive or interlaced: nothing is there before all of it is decoded */
	const uint8_t *head;      /* of a BMP: its first FETCH_HEAD_BYTES, or all */
	size_t head_bytes;
};

/* Sums over crops. */
struct info_cost {
	uint64_t crops;
	double read_bytes, decoded_px;
	double read_share, decoded_share; /* of the file, of the picture */
};

/* Adds INFO_BOXES crops of each rule to costs[]; the same seed and key give the same boxes. */
enum { INFO_BOXES = 4 };

struct info_crops {
	uint32_t height_px, width_px;
	uint64_t seed;
};

void info_cost_add(struct info_cost costs[INFO_RULE_COUNT], const struct info_picture *picture, const struct info_crops *crops,
                   uint64_t key);

/* "random", ...: as --crop has it. */
const char *info_rule_name(enum info_rule rule);

#endif
