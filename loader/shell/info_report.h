/*
 * info_report.h - part of `cropring info`: what is found out about a file, a pack or another source, and how it is shown.
 */
#ifndef CROPRING_INFO_REPORT_H
#define CROPRING_INFO_REPORT_H

#include "loader/pack/pack_tally.h"
#include "loader/shell/info_cost.h"

enum info_kind { INFO_FILE, INFO_PACK, INFO_SOURCE };

enum { INFO_FORMATS = 4 }; /* as in struct index_image: others or damaged, JPEG, PNG, BMP */

struct info_size {
	uint32_t width_px, height_px;
};

/* Of segments of one kind, JPEG's or PNG's, in the sample. */
struct info_segments {
	uint64_t images, segments;
	uint64_t units, bytes; /* sums over segments: pixels of width of a JPEG's, rows of a PNG's; bytes of either */
};

struct info_report {
	enum info_kind kind;
	const char *name; /* as the user gave it */

	/* of a pack and of another source */
	uint64_t samples, images, targets, classes; /* images and targets: each once, however many samples have them */

	/* of a pack */
	uint64_t shards, pack_bytes, original_bytes, image_bytes, table_bytes;
	uint64_t with_segments; /* images and targets */
	uint32_t segment_px, png_rows;

	/* of all of a pack, else of the sample */
	uint64_t formats[INFO_FORMATS];
	struct info_size *sizes; /* of those that can be decoded, from malloc; once sorted, by area */
	uint64_t size_count;

	/* of the sample, of pictures that can be decoded */
	struct info_crops crops;
	uint64_t sampled, decodable;
	double whole_bytes, whole_px;             /* sums */
	struct info_cost now[INFO_RULE_COUNT];    /* as the files lie there; not of a pack */
	struct info_cost packed[INFO_RULE_COUNT]; /* of a pack, or as it would be */
	struct info_segments segments[2];         /* JPEG's, PNG's; in the pack, or as they would be */

	/* not of a pack: what `cropring pack` would make of the sample */
	struct pack_tally tally;
	uint64_t source_bytes, would_be_bytes; /* of all that was sampled */
	char detail[160];                      /* of a file: what else is known of its kind */
	struct info_picture picture;           /* of a file */

	/* --verify */
	bool is_verified;
	uint64_t damaged_images, damaged_tables;
};

/* Memory for so many sizes.  -ENOMEM. */
int info_report_reserve_sizes(struct info_report *report, uint64_t count);
void info_report_add_size(struct info_report *report, uint32_t width_px, uint32_t height_px);
void info_report_sort_sizes(struct info_report *report);

/* One more picture of the sample that can be decoded, and its segments. */
void info_report_add_picture(struct info_report *report, const struct info_picture *picture);
void info_report_add_segments(struct info_report *report, const struct segments *segments);

/* To standard output. */
void info_report_print(const struct info_report *report);
void info_report_print_json(const struct info_report *report);

void info_report_close(struct info_report *report);

#endif
