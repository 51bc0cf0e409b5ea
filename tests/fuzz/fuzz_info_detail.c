/* fuzz_info_detail.c - hostile images: whatever their headers hold, the words for it end within their memory, and say it again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/shell/info_detail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	char text[160], again[160], cut[8];
	bool in_one_piece = info_detail(data, byte_count, text, sizeof text);

	if (strnlen(text, sizeof text) >= sizeof text - 1 || info_detail(data, byte_count, again, sizeof again) != in_one_piece ||
	    strcmp(text, again) != 0) {
		fprintf(stderr, "words without an end, or others the second time\n");
		abort();
	}
	if (info_detail(data, byte_count, cut, sizeof cut) != in_one_piece || strncmp(text, cut, sizeof cut - 1) != 0) {
		fprintf(stderr, "other words where they are cut\n");
		abort();
	}
	return 0;
}
