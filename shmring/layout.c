/* layout.c - the arithmetic of the segment: one place for sizes, checked against overflow, used by both sides. */
#include "shmring/layout.h"

#include <errno.h>
#include <string.h>

static uint32_t fnv1a(uint32_t hash, uint64_t value)
{
	for (int i = 0; i < 8; i++) {
		hash = (hash ^ (uint32_t)(value & 0xff)) * 16777619u;
		value >>= 8;
	}
	return hash;
}

uint32_t layout_fingerprint(void)
{
	const uint64_t facts[] = {
		LAYOUT_VERSION,
		LAYOUT_PAGE_BYTES,
		LAYOUT_SLOTS_OFFSET,
		sizeof(struct layout_header),
		offsetof(struct layout_header, segment_bytes),
		offsetof(struct layout_header, field),
		offsetof(struct layout_header, counter_name),
		sizeof(struct layout_slot),
		offsetof(struct layout_slot, row_count),
		offsetof(struct layout_slot, redelivered),
		offsetof(struct layout_slot, reader),
		offsetof(struct layout_slot, claimed_ns),
		offsetof(struct layout_slot, released_ns),
		sizeof(struct layout_bells),
		offsetof(struct layout_bells, end),
		offsetof(struct layout_bells, reader),
		sizeof(struct layout_reader),
		offsetof(struct layout_reader, wait_ns),
		offsetof(struct layout_reader, held_slots),
		offsetof(struct layout_reader, joined_ns),
		offsetof(struct layout_reader, pid),
		sizeof(struct layout_log),
		sizeof(struct layout_notes),
		sizeof(sem_t),
		__BYTE_ORDER__,
	};
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
		hash = fnv1a(hash, facts[i]);
	return hash;
}

static uint64_t dtype_bytes(uint32_t dtype)
{
	switch (dtype) {
	case SHMRING_UINT8:
		return 1;
	case SHMRING_FLOAT16:
	case SHMRING_UINT16:
		return 2;
	case SHMRING_INT32:
	case SHMRING_FLOAT32:
		return 4;
	case SHMRING_INT64:
		return 8;
	default:
		return 0;
	}
}

static bool round_up(uint64_t value, uint64_t multiple, uint64_t *result)
{
	if (__builtin_add_overflow(value, multiple - 1, result))
		return false;
	*result -= *result % multiple;
	return true;
}

static int measure_field(struct shmring_field *field, uint64_t *end, struct err *err)
{
	uint64_t byte_count = dtype_bytes(field->dtype);

	if (byte_count == 0)
		return err_fail(err, -EINVAL, "field %.24s: unknown dtype %u", field->name, field->dtype);
	if (field->name[0] == '\0' || memchr(field->name, '\0', sizeof field->name) == NULL)
		return err_fail(err, -EINVAL, "a field's name must have 1 to %zu characters", sizeof field->name - 1);
	if (field->dim_count < 1 || field->dim_count > SHMRING_MAX_DIMS)
		return err_fail(err, -EINVAL, "field %s: %u dimensions, expected 1 to %d", field->name, field->dim_count,
		                SHMRING_MAX_DIMS);
	for (uint32_t i = 0; i < field->dim_count; i++) {
		if (field->shape[i] == 0)
			return err_fail(err, -EINVAL, "field %s: dimension %u is 0", field->name, i);
		if (__builtin_mul_overflow(byte_count, (uint64_t)field->shape[i], &byte_count))
			return err_fail(err, -EOVERFLOW, "field %s: its size overflows 64 bits", field->name);
	}
	if (!round_up(*end, LAYOUT_FIELD_ALIGN_BYTES, &field->offset_bytes))
		return err_fail(err, -EOVERFLOW, "field %s: its offset overflows 64 bits", field->name);
	field->byte_count = byte_count;
	if (__builtin_add_overflow(field->offset_bytes, byte_count, end))
		return err_fail(err, -EOVERFLOW, "field %s: its end overflows 64 bits", field->name);
	return 0;
}

int layout_measure(struct shmring_field *fields, uint32_t field_count, uint32_t slot_count, uint64_t *slot_stride_bytes,
                   uint64_t *segment_bytes, struct err *err)
{
	uint64_t end = 0, all_slots;

	if (field_count < 1 || field_count > SHMRING_MAX_FIELDS)
		return err_fail(err, -EINVAL, "%u fields, expected 1 to %d", field_count, SHMRING_MAX_FIELDS);
	if (slot_count < SHMRING_MIN_SLOTS || slot_count > SHMRING_MAX_SLOTS)
		return err_fail(err, -EINVAL, "%u slots, expected %d to %d", slot_count, SHMRING_MIN_SLOTS, SHMRING_MAX_SLOTS);
	for (uint32_t i = 0; i < field_count; i++) {
		int rc = measure_field(&fields[i], &end, err);

		if (rc < 0)
			return rc;
	}
	if (!round_up(end, LAYOUT_PAGE_BYTES, slot_stride_bytes) ||
	    __builtin_mul_overflow(*slot_stride_bytes, (uint64_t)slot_count, &all_slots) ||
	    __builtin_add_overflow(all_slots, (uint64_t)LAYOUT_SLOTS_OFFSET, segment_bytes) || *segment_bytes > INT64_MAX)
		return err_fail(err, -EOVERFLOW, "%u slots of %llu bytes overflow 64 bits", slot_count, (unsigned long long)end);
	return 0;
}

int layout_check(const struct layout_header *header, uint64_t actual_bytes, struct err *err)
{
	struct shmring_field fields[SHMRING_MAX_FIELDS];
	uint64_t slot_stride_bytes, segment_bytes;

	if (memcmp(header->magic, LAYOUT_MAGIC, sizeof header->magic) != 0)
		return err_fail(err, -EPROTO, "the segment does not begin with \"" LAYOUT_MAGIC "\": it is no ring");
	if (header->fingerprint != layout_fingerprint())
		return err_fail(err, -EPROTO,
		                "the ring was made by another version of cropring (layout %08x, this one reads %08x): use the same "
		                "on both sides",
		                header->fingerprint, layout_fingerprint());
	if (header->field_count > SHMRING_MAX_FIELDS || header->counter_count > SHMRING_MAX_COUNTERS ||
	    header->share > SHMRING_BROADCAST || header->reader_limit < 1 || header->reader_limit > LAYOUT_MAX_READERS ||
	    memchr(header->name, '\0', sizeof header->name) == NULL)
		return err_fail(err, -EPROTO, "the ring's header holds impossible numbers");
	memcpy(fields, header->field, sizeof fields);
	if (layout_measure(fields, header->field_count, header->slot_count, &slot_stride_bytes, &segment_bytes, NULL) < 0 ||
	    memcmp(fields, header->field, header->field_count * sizeof fields[0]) != 0 ||
	    slot_stride_bytes != header->slot_stride_bytes || segment_bytes != header->segment_bytes)
		return err_fail(err, -EPROTO, "the ring's field table does not add up");
	if (segment_bytes != actual_bytes)
		return err_fail(err, -EPROTO, "the segment has %llu bytes, its header says %llu", (unsigned long long)actual_bytes,
		                (unsigned long long)segment_bytes);
	for (uint32_t i = 0; i < header->counter_count; i++) {
		if (memchr(header->counter_name[i], '\0', sizeof header->counter_name[i]) == NULL)
			return err_fail(err, -EPROTO, "the ring's counter names do not end");
	}
	return 0;
}
