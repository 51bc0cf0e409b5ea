/* Stage 2 of 5, fetch: runs of an image in, where the next read of them goes out.  Whichever thread has the slot. */
#include "loader/fetch/fetch_runs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES 65536u /* at a time, of runs that are read together with what lies between them */

/*
 * What lies between two runs is read and dropped up to here: in the page cache a call costs as much as 3.5 KB (60 runs of 1000 bytes,
 * 2000 apart: a call for each run 33 us, pieces and a copy 23, all by one preadv() that throws the gaps away 30; 4000 apart: 35, 36,
 * 47).
 */
#define COPIED_GAP_BYTES 3584u

/*
 * The same for a disk, of which a read more costs as much as 12 KB: for runs of 1000 bytes, one image after the other, asking for each of
 * them took 301 us where they were 4000 apart (together: 176), 331 us at 12000 (380), 315 us at 16000 (414), 304 us at 50000 (1043).
 * Who must go to another thread for each read, or to a server, is in no other position.
 */
#define ASKED_GAP_BYTES 12288u

#define ADVICE_BYTES     131072u    /* more at once the kernel need not heed: the read-ahead that is usual */
#define ADVICE_MAX_BYTES (1u << 20) /* until what comes next would wait; what is longer is read ahead without us */

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t end_of(struct file_run run)
{
	return run.offset + run.byte_count;
}

struct file_runs *fetch_runs_copy(const struct file_runs *runs)
{
	const size_t byte_count = sizeof *runs + runs->count * sizeof *runs->run;
	struct file_runs *copy = malloc(byte_count);

	if (copy)
		memcpy(copy, runs, byte_count);
	return copy;
}

bool fetch_runs_make_sense(const struct file_runs *runs, uint64_t image_bytes)
{
	uint64_t end = 0, total_bytes = 0;

	for (uint32_t i = 0; i < runs->count; i++) {
		struct file_run run = runs->run[i];

		if (run.byte_count == 0 || run.offset < end || run.offset > image_bytes ||
		    run.byte_count > image_bytes - run.offset)
			return false;
		end = end_of(run);
		total_bytes += run.byte_count; /* at most `end` */
	}
	return total_bytes > 0 && total_bytes == runs->total_bytes;
}

uint64_t fetch_runs_room_bytes(const struct file_runs *runs)
{
	uint64_t hull_bytes = end_of(runs->run[runs->count - 1]) - runs->run[0].offset;

	return runs->total_bytes + smaller(hull_bytes - runs->total_bytes, PIECE_BYTES);
}

/*
 * The first run after `first` that is not to be read with it: behind a gap over max_gap_bytes, or further than max_bytes from `begin`
 * on, whatever the first one takes.
 */
static uint32_t end_of_group(const struct file_runs *runs, uint32_t first, uint64_t begin, uint64_t max_gap_bytes,
                             uint64_t max_bytes)
{
	uint32_t next = first + 1;

	while (next < runs->count && runs->run[next].offset - end_of(runs->run[next - 1]) <= max_gap_bytes &&
	       end_of(runs->run[next]) - begin <= max_bytes)
		next++;
	return next;
}

/*
 * The room is enough wherever one is: if it is that of all from the first run to the last, then because what is here takes no more of it
 * than of the file; else because a piece fits behind all runs.
 */
void fetch_runs_plan_read(struct fetch_slot *slot)
{
	const struct file_runs *runs = slot->runs;
	const struct fetch_buffer *buffer = slot->buffer;
	const uint64_t begin = runs->run[slot->run_index].offset + slot->run_done_bytes;
	const uint32_t next =
		end_of_group(runs, slot->run_index, begin, slot->always_waits ? ASKED_GAP_BYTES : COPIED_GAP_BYTES, PIECE_BYTES);

	slot->read = (struct fetch_slot_read){
		.data = buffer->data + buffer->byte_count,
		.byte_count = (uint32_t)smaller(end_of(runs->run[next - 1]) - begin, FETCH_READ_MAX_BYTES),
		.offset = begin,
	};
}

bool fetch_runs_took(struct fetch_slot *slot, uint64_t byte_count)
{
	const struct file_runs *runs = slot->runs;
	struct fetch_buffer *buffer = slot->buffer;
	const uint8_t *from = buffer->data + buffer->byte_count; /* of what came, and is still to be looked at, */
	uint64_t left_bytes = byte_count;                        /* so much */

	while (left_bytes > 0) {
		const struct file_run *run = &runs->run[slot->run_index];
		uint64_t count = smaller(run->byte_count - slot->run_done_bytes, left_bytes);

		if (from != buffer->data + buffer->byte_count)
			memmove(buffer->data + buffer->byte_count, from, count);
		buffer->byte_count += count;
		slot->run_done_bytes += count;
		from += count;
		left_bytes -= count;
		if (slot->run_done_bytes < run->byte_count)
			break;
		slot->run_done_bytes = 0;
		if (++slot->run_index == runs->count)
			return true;
		count = smaller(run[1].offset - end_of(run[0]), left_bytes);
		from += count;
		left_bytes -= count;
	}
	return false;
}

/*
 * Whoever reads run by run then finds them there, or on their way.  us for an image of a pack that is not in the cache, 64 in flight and
 * alone, and what comes from the disk for it:
 *
 *   runs, gaps between them      one by one            all at once          hull in one piece    asked for first
 *   15 of 1 KB, 6.7 KB           238,  630; 357 KB     207, 292; 341 KB      86, 153; 114 KB      83, 144; 113 KB
 *   30 of 300 B, 2.8 KB          356,  924; 634 KB     339, 493; 671 KB      73, 187;  94 KB      76, 161;  94 KB
 *   125 of 3 KB, 5 KB           1877, 2861; 3.7 MB    4631, 5453; 8.5 MB    553, 839; 1.0 MB     505, 758; 1.0 MB
 *   30 of 1 KB, 50 KB            324, 1620; 152 KB     303, 367; 152 KB    1696, 2068; 2.2 MB     270, 304; 152 KB
 *
 * Whole images of 110 KB take as long either way (84 and 172; 98 and 155), so they are not asked for.
 */
void fetch_runs_advise(struct fetch_slot *slot)
{
	const struct file_runs *runs = slot->runs;
	uint64_t left_bytes = ADVICE_MAX_BYTES;

	if (slot->run_index < slot->advised_count)
		return;
	for (uint32_t first = slot->run_index; first < runs->count && left_bytes > 0; first = slot->advised_count) {
		uint64_t begin = runs->run[first].offset, count;

		slot->advised_count = end_of_group(runs, first, begin, ASKED_GAP_BYTES, ADVICE_BYTES);
		count = smaller(end_of(runs->run[slot->advised_count - 1]) - begin, left_bytes);
		left_bytes -= count;
		for (uint64_t done = 0; done < count; done += ADVICE_BYTES) /* refused, the reads take longer */
			(void)posix_fadvise(slot->fd, (off_t)(slot->image_offset + begin + done),
			                    (off_t)smaller(count - done, ADVICE_BYTES), POSIX_FADV_WILLNEED);
	}
}
