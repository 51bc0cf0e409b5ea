/*
 * fuzz_layout.c - hostile headers: whatever layout_check() accepts, a reader that believes it stays inside the segment.
 *
 * The input is a lie about a valid header: byte 0 says which sums to repair after it (or nothing would get past the first
 * check), the next 8 are xored with the segment's size, the rest with the header.  An empty input is the valid header.
 * One thread; built for libFuzzer by tests/fuzz/run, and with fuzz_main.c for CTest.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shmring/layout.h"

enum { REPAIR_IDENTITY = 1, REPAIR_FIELDS = 2, REPAIR_SIZE = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static void must(bool truth, const char *what)
{
	if (!truth) {
		fprintf(stderr, "an accepted header lies: %s\n", what);
		abort();
	}
}

static const struct layout_header *valid_header(void)
{
	static struct layout_header header;

	if (header.slot_count > 0)
		return &header;
	header = (struct layout_header){
		.fingerprint = layout_fingerprint(),
		.slot_count = 4,
		.field_count = 3,
		.counter_count = 2,
		.share = SHMRING_LANES,
		.reader_limit = 3,
		.name = "fuzz",
		.field = {{.name = "images", .dtype = SHMRING_UINT8, .dim_count = 4, .shape = {32, 3, 224, 224}},
	                  {.name = "labels", .dtype = SHMRING_INT64, .dim_count = 1, .shape = {32}},
	                  {.name = "boxes", .dtype = SHMRING_FLOAT32, .dim_count = 2, .shape = {32, 4}}},
		.counter_name = {"images", "bytes"},
	};
	memcpy(header.magic, LAYOUT_MAGIC, sizeof header.magic);
	must(layout_measure(header.field, header.field_count, header.slot_count, &header.slot_stride_bytes, &header.segment_bytes,
	                    NULL) == 0,
	     "the valid one does not add up");
	return &header;
}

static void repair(struct layout_header *header, uint64_t *actual_bytes, uint8_t what)
{
	if (what & REPAIR_IDENTITY) {
		memcpy(header->magic, LAYOUT_MAGIC, sizeof header->magic);
		header->fingerprint = layout_fingerprint();
	}
	if (what & REPAIR_FIELDS)
		(void)layout_measure(header->field, header->field_count, header->slot_count, &header->slot_stride_bytes,
		                     &header->segment_bytes, NULL); /* fails if the fields are impossible, which is to be found */
	if (what & REPAIR_SIZE)
		*actual_bytes = header->segment_bytes;
}

static void check_field(const struct layout_header *header, const struct shmring_field *field, unsigned __int128 *end)
{
	static const uint8_t dtype_bytes[] = {0, 1, 4, 8, 2, 4, 2};
	unsigned __int128 byte_count;

	must(memchr(field->name, '\0', sizeof field->name) != NULL, "a field's name does not end");
	must(field->dtype >= SHMRING_UINT8 && field->dtype <= SHMRING_UINT16, "dtype");
	must(field->dim_count >= 1 && field->dim_count <= SHMRING_MAX_DIMS, "dim_count");
	byte_count = dtype_bytes[field->dtype];
	for (uint32_t i = 0; i < field->dim_count; i++)
		byte_count *= field->shape[i];
	must(byte_count == field->byte_count && byte_count > 0, "byte_count");
	must(field->offset_bytes % LAYOUT_FIELD_ALIGN_BYTES == 0 && field->offset_bytes >= *end, "fields overlap");
	*end = (unsigned __int128)field->offset_bytes + field->byte_count;
	must(*end <= header->slot_stride_bytes, "a field leaves its slot");
}

/* Everything that a reader computes from the header. */
static void check_accepted(const struct layout_header *header, uint64_t actual_bytes)
{
	unsigned __int128 end = 0;

	must(memcmp(header->magic, LAYOUT_MAGIC, sizeof header->magic) == 0, "magic");
	must(header->fingerprint == layout_fingerprint(), "fingerprint");
	must(header->slot_count >= SHMRING_MIN_SLOTS && header->slot_count <= SHMRING_MAX_SLOTS, "slot_count");
	must(header->field_count >= 1 && header->field_count <= SHMRING_MAX_FIELDS, "field_count");
	must(header->counter_count <= SHMRING_MAX_COUNTERS, "counter_count");
	must(header->share <= SHMRING_BROADCAST, "share");
	must(header->reader_limit >= 1 && header->reader_limit <= SHMRING_MAX_READERS, "reader_limit");
	must(memchr(header->name, '\0', sizeof header->name) != NULL, "the name does not end");
	for (uint32_t i = 0; i < header->counter_count; i++)
		must(memchr(header->counter_name[i], '\0', sizeof header->counter_name[i]) != NULL,
		     "a counter's name does not end");
	for (uint32_t i = 0; i < header->field_count; i++)
		check_field(header, &header->field[i], &end);
	must(header->slot_stride_bytes % LAYOUT_PAGE_BYTES == 0, "the slots are not on pages of their own");
	must(header->segment_bytes == actual_bytes, "segment_bytes");
	must((unsigned __int128)LAYOUT_SLOTS_OFFSET + (unsigned __int128)header->slot_count * header->slot_stride_bytes ==
	             actual_bytes,
	     "the slots leave the segment");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	struct layout_header header = *valid_header();
	uint64_t actual_bytes = header.segment_bytes;
	struct err err = {.text = ""};
	uint8_t what = byte_count > 0 ? data[0] : 0;
	int rc;

	for (size_t i = 1; i < byte_count && i < 1 + sizeof actual_bytes + sizeof header; i++) {
		if (i <= sizeof actual_bytes)
			((uint8_t *)&actual_bytes)[i - 1] ^= data[i];
		else
			((uint8_t *)&header)[i - 1 - sizeof actual_bytes] ^= data[i];
	}
	repair(&header, &actual_bytes, what);
	rc = layout_check(&header, actual_bytes, &err);
	must(rc == 0 || rc == -EPROTO, "neither accepted nor refused");
	must(rc == 0 || err.text[0] != '\0', "refused without a sentence");
	if (rc == 0)
		check_accepted(&header, actual_bytes);
	return 0;
}
