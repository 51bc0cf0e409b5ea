/*
 * info_detail.c - part of `cropring info`: an image's file in, of which kind of its format it is out.  Any thread.
 *
 * JPEG: ITU T.81, B.2; of its header only what a person asks for is looked at.
 */
#include "loader/shell/info_detail.h"

#include <stdio.h>

#include "loader/decode/png_chunks.h"
#include "loader/decode/sniff.h"

enum {
	JPEG_SOF0 = 0xc0,
	JPEG_SOF2 = 0xc2,
	JPEG_SOF10 = 0xca,
	JPEG_SOF15 = 0xcf,
	JPEG_DHT = 0xc4,
	JPEG_JPG = 0xc8,
	JPEG_DAC = 0xcc
};
enum { JPEG_RST0 = 0xd0, JPEG_SOI = 0xd8, JPEG_SOS = 0xda, JPEG_DRI = 0xdd, MOST_COMPONENTS = 4 };

struct jpeg_kind {
	uint8_t frame;                             /* the SOFn marker; 0: none was found */
	uint32_t component_count, scan_components; /* of the frame, of its first scan; 0: none */
	uint8_t sampling[MOST_COMPONENTS];         /* horizontal and vertical factor, 4 bits each */
	uint32_t restart_mcus;
};

static void read_frame(const uint8_t *data, size_t byte_count, uint8_t marker, struct jpeg_kind *kind)
{
	if (byte_count < 6 || byte_count < 6 + 3u * data[5])
		return;
	kind->frame = marker;
	kind->component_count = data[5];
	for (uint32_t i = 0; i < data[5] && i < MOST_COMPONENTS; i++)
		kind->sampling[i] = data[6 + 3 * i + 1];
}

static bool is_frame(uint8_t marker)
{
	return marker >= JPEG_SOF0 && marker <= JPEG_SOF15 && marker != JPEG_DHT && marker != JPEG_JPG && marker != JPEG_DAC;
}

/* Marker segments up to the first scan; what is between them is passed over. */
static void read_jpeg(const uint8_t *file, size_t byte_count, struct jpeg_kind *kind)
{
	size_t at = 2;

	while (!kind->scan_components && byte_count >= 4 && at <= byte_count - 4) {
		uint8_t marker = file[at + 1];
		size_t segment_bytes;

		if (file[at] != 0xff || marker == 0 || marker == 0xff || (marker >= JPEG_RST0 && marker <= JPEG_SOI)) {
			at++;
			continue;
		}
		segment_bytes = (size_t)file[at + 2] << 8 | file[at + 3];
		if (segment_bytes < 2 || segment_bytes > byte_count - at - 2)
			return;
		if (is_frame(marker))
			read_frame(file + at + 4, segment_bytes - 2, marker, kind);
		else if (marker == JPEG_DRI && segment_bytes >= 4)
			kind->restart_mcus = (uint32_t)file[at + 4] << 8 | file[at + 5];
		else if (marker == JPEG_SOS && segment_bytes >= 3)
			kind->scan_components = file[at + 4];
		at += 2 + segment_bytes;
	}
}

/* "4:2:0" and its like, where the second and third component are alike and the first is the finest; else "". */
static const char *subsampling(const struct jpeg_kind *kind)
{
	const uint8_t *sampling = kind->sampling;
	uint32_t across, down;

	if (kind->component_count != 3 || sampling[1] != 0x11 || sampling[2] != 0x11)
		return "";
	across = sampling[0] >> 4;
	down = sampling[0] & 15;
	return across == 1 && down == 1   ? ", 4:4:4"
	       : across == 2 && down == 1 ? ", 4:2:2"
	       : across == 2 && down == 2 ? ", 4:2:0"
	       : across == 1 && down == 2 ? ", 4:4:0"
	       : across == 4 && down == 1 ? ", 4:1:1"
	                                  : "";
}

static bool tell_jpeg(const uint8_t *file, size_t byte_count, char *text, size_t text_bytes)
{
	static const char *const frames[] = {"baseline", "extended", "progressive", "lossless"};
	struct jpeg_kind kind = {0};
	char restarts[64] = "no restart markers";
	bool has_many_scans;
	int number;

	read_jpeg(file, byte_count, &kind);
	if (!kind.frame)
		return false;
	number = kind.frame - JPEG_SOF0;
	has_many_scans = kind.frame == JPEG_SOF2 || kind.frame == JPEG_SOF10 || kind.scan_components < kind.component_count;
	if (kind.restart_mcus)
		snprintf(restarts, sizeof restarts, "a restart marker every %u MCUs", kind.restart_mcus);
	snprintf(text, text_bytes, "%s%s%s, %s",
	         number < 4   ? frames[number]
	         : number < 8 ? "hierarchical"
	                      : "arithmetic coding",
	         subsampling(&kind), has_many_scans && kind.frame != JPEG_SOF2 ? ", several scans" : "", restarts);
	return has_many_scans;
}

static bool tell_png(const uint8_t *file, size_t byte_count, char *text, size_t text_bytes)
{
	struct png_header header;
	const char *color;

	if (!png_chunks_header(file, byte_count, &header))
		return false;
	color = header.color == PNG_GRAY         ? "gray"
	        : header.color == PNG_RGB        ? "RGB"
	        : header.color == PNG_PALETTE    ? "palette"
	        : header.color == PNG_GRAY_ALPHA ? "gray and alpha"
	                                         : "RGB and alpha";
	snprintf(text, text_bytes, "%s%s", color, header.interlaced ? ", interlaced" : "");
	return header.interlaced;
}

bool info_detail(const uint8_t *file, size_t byte_count, char *text, size_t text_bytes)
{
	const char *name;

	*text = '\0';
	switch (sniff(file, byte_count, &name)) {
	case IMAGE_JPEG:
		return tell_jpeg(file, byte_count, text, text_bytes);
	case IMAGE_PNG:
		return tell_png(file, byte_count, text, text_bytes);
	default:
		return false;
	}
}
