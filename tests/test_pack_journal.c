/* test_pack_journal.c - records that are whole or not there, wherever a journal ends, and whatever became of its bytes. */
#include "loader/pack/pack_journal.h"
#include "tests/tree_fixture.h"

enum { RECORDS = 5, MOST_BYTES = 4096 };

static const char *const texts[RECORDS] = {"terms", "", "a picture with a longer text than the others", "x", "the last"};

/* What a replay hands over. */
struct heard {
	size_t count, limit; /* limit: how many are taken */
	char text[2 * RECORDS][64];
	enum pack_record record[2 * RECORDS];
};

static bool hear(void *context, enum pack_record record, const void *data, size_t byte_count)
{
	struct heard *heard = context;

	if (heard->count == heard->limit)
		return false;
	assert_true(byte_count < sizeof heard->text[0]);
	memcpy(heard->text[heard->count], data, byte_count);
	heard->text[heard->count][byte_count] = '\0';
	heard->record[heard->count++] = record;
	return true;
}

static struct pack_journal opened(void)
{
	struct pack_journal journal;

	assert_int_equal(pack_journal_open(&journal, AT_FDCWD), 0);
	return journal;
}

static struct heard replayed(struct pack_journal *journal, size_t limit)
{
	struct heard heard = {.limit = limit};

	assert_int_equal(pack_journal_replay(journal, hear, &heard), 0);
	return heard;
}

static void append(struct pack_journal *journal, enum pack_record record, const char *text)
{
	size_t half = strlen(text) / 2;
	const struct iovec pieces[] = {{(void *)(uintptr_t)text, half}, {(void *)(uintptr_t)(text + half), strlen(text) - half}};

	assert_int_equal(pack_journal_append(journal, record, pieces, 2), 0);
}

/* A journal of all texts, in a folder of its own; where each record ends. */
static int write_journal(void **state)
{
	static uint64_t ends[RECORDS];
	struct pack_journal journal;

	if (make_tree(state) != 0 || chdir("tree") != 0)
		return -1;
	journal = opened();
	for (int i = 0; i < RECORDS; i++) {
		append(&journal, i == 0 ? PACK_RECORD_TERMS : PACK_RECORD_PICTURE, texts[i]);
		ends[i] = journal.end_bytes;
	}
	pack_journal_close(&journal);
	*state = ends;
	return 0;
}

static int leave_tree(void **state)
{
	return chdir("..") == 0 ? remove_tree(state) : -1;
}

static size_t records_before(const uint64_t *ends, uint64_t at)
{
	size_t count = 0;

	while (count < RECORDS && ends[count] <= at)
		count++;
	return count;
}

static void assert_tells(size_t count)
{
	struct pack_journal journal = opened();
	struct heard heard = replayed(&journal, 2 * RECORDS);

	assert_int_equal(heard.count, count);
	for (size_t i = 0; i < count; i++)
		assert_string_equal(heard.text[i], texts[i]);
	pack_journal_close(&journal);
}

static void records_come_back_in_order(void **state)
{
	struct pack_journal journal = opened();
	struct heard heard = replayed(&journal, RECORDS);

	assert_int_equal(journal.end_bytes, ((const uint64_t *)*state)[RECORDS - 1]);
	assert_int_equal(heard.record[0], PACK_RECORD_TERMS);
	assert_int_equal(heard.record[1], PACK_RECORD_PICTURE);
	pack_journal_close(&journal);
	assert_tells(RECORDS);
}

static void a_journal_that_ends_anywhere_tells_what_is_whole(void **state)
{
	const uint64_t *ends = *state;

	for (uint64_t at = ends[RECORDS - 1]; at-- > 0;) {
		assert_int_equal(truncate(PACK_JOURNAL_NAME, (off_t)at), 0);
		assert_tells(records_before(ends, at));
	}
}

static void a_damaged_byte_ends_it_where_it_stands(void **state)
{
	const uint64_t *ends = *state;
	int fd = open(PACK_JOURNAL_NAME, O_RDWR | O_CLOEXEC);

	for (uint64_t at = 0; at < ends[RECORDS - 1]; at++) {
		for (int bit = 0; bit < 8; bit++) {
			uint8_t byte, damaged;

			assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
			damaged = byte ^ (uint8_t)(1 << bit);
			assert_int_equal(pwrite(fd, &damaged, 1, (off_t)at), 1);
			assert_tells(records_before(ends, at));
			assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
		}
	}
	close(fd);
	assert_tells(RECORDS);
}

/* A record says where it stands: one that lies there from before, or is a copy of another, is none. */
static void a_record_counts_only_where_it_was_written(void **state)
{
	const uint64_t *ends = *state;
	uint8_t bytes[MOST_BYTES];
	int fd = open(PACK_JOURNAL_NAME, O_RDWR | O_CLOEXEC);
	size_t last_bytes = ends[RECORDS - 1] - ends[RECORDS - 2];

	assert_int_equal(pread(fd, bytes, last_bytes, (off_t)ends[RECORDS - 2]), last_bytes);
	assert_int_equal(pwrite(fd, bytes, last_bytes, (off_t)ends[RECORDS - 1]), last_bytes);
	close(fd);
	assert_tells(RECORDS);
}

static void what_is_not_taken_stays_until_it_is_cut_off(void **state)
{
	struct pack_journal journal = opened();

	(void)state;
	assert_int_equal(replayed(&journal, 2).count, 2);
	pack_journal_close(&journal);
	assert_tells(RECORDS);
	journal = opened();
	assert_int_equal(replayed(&journal, 2).count, 2);
	assert_int_equal(pack_journal_cut(&journal), 0);
	pack_journal_close(&journal);
	assert_tells(2);
}

/* Without the cut the one behind, which has the right place and check, would be there again. */
static void what_was_cut_off_does_not_come_back_behind_a_new_record(void **state)
{
	struct pack_journal journal = opened();

	(void)state;
	assert_int_equal(replayed(&journal, 2).count, 2);
	assert_int_equal(pack_journal_cut(&journal), 0);
	append(&journal, PACK_RECORD_PICTURE, texts[2]);
	pack_journal_close(&journal);
	assert_tells(3);
}

static void a_second_process_is_kept_out(void **state)
{
	struct pack_journal journal = opened(), second;

	(void)state;
	assert_int_equal(pack_journal_open(&second, AT_FDCWD), -EBUSY);
	pack_journal_close(&second);
	pack_journal_close(&journal);
	second = opened();
	pack_journal_close(&second);
}

static void a_link_is_not_followed(void **state)
{
	struct pack_journal journal;

	(void)state;
	assert_int_equal(rename(PACK_JOURNAL_NAME, "elsewhere"), 0);
	assert_int_equal(symlink("elsewhere", PACK_JOURNAL_NAME), 0);
	assert_int_equal(pack_journal_open(&journal, AT_FDCWD), -ELOOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(records_come_back_in_order, write_journal, leave_tree),
		cmocka_unit_test_setup_teardown(a_journal_that_ends_anywhere_tells_what_is_whole, write_journal, leave_tree),
		cmocka_unit_test_setup_teardown(a_damaged_byte_ends_it_where_it_stands, write_journal, leave_tree),
		cmocka_unit_test_setup_teardown(a_record_counts_only_where_it_was_written, write_journal, leave_tree),
		cmocka_unit_test_setup_teardown(what_is_not_taken_stays_until_it_is_cut_off, write_journal, leave_tree),
		cmocka_unit_test_setup_teardown(what_was_cut_off_does_not_come_back_behind_a_new_record, write_journal, leave_tree),
		cmocka_unit_test_setup_teardown(a_second_process_is_kept_out, write_journal, leave_tree),
		cmocka_unit_test_setup_teardown(a_link_is_not_followed, write_journal, leave_tree),
	};

	return cmocka_run_group_tests(tests, make_workplace, remove_workplace);
}
