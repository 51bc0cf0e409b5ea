/* test_pack_writer.c - packings that end anywhere, and what they go on with: the same files to the byte, or a refusal that says why. */
#include "loader/pack/pack_finish.h"
#include "loader/pack/pack_part.h"
#include "loader/pack/pack_writer.h"
#include "loader/pack/pack_written.h"
#include "loader/plan/pack/pack_layout.h"
#include "tests/fsync_watch.h"
#include "tests/seed.h"
#include "tests/tree_fixture.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { PICTURES = 9, MOST_FILES = 12, SHARD_BYTES = 6000 };

/* ------------------------------------------------------------------ what is packed */

static struct dataset *dataset;
static struct pack_pictures pictures;
static char stored[PICTURES][3000];

/* Of different lengths, one empty, some with a table; nothing here looks at what they are. */
static size_t bytes_of(uint64_t picture)
{
	return picture == 4 ? 0 : 500 + 271 * picture;
}

static int add(struct pack_writer *writer, struct err *err)
{
	uint64_t number = pack_writer_count(writer);
	struct packed_image packed = {.outcome = number % 3 ? PACK_SEGMENTED : PACK_KIND, .image = {.width_px = 7}};
	struct pack_picture picture = {.bytes = stored[number],
	                               .byte_count = bytes_of(number),
	                               .packed = &packed,
	                               .source_bytes = 100,
	                               .name = number == 2 ? "archive.tar/a name of its own" : NULL};
	int rc;

	if (number % 2 == 1)
		assert_int_equal(bytes_append(&packed.table, stored[PICTURES - 1], 40 + number), 0);
	if (number % 3 == 0)
		strcpy(packed.reason, "some reason");
	packed.image.checksum = XXH3_64bits(picture.bytes, picture.byte_count);
	picture.table_checksum = XXH3_64bits(packed.table.data, packed.table.used_bytes);
	rc = pack_writer_add(writer, &picture, err);
	bytes_free(&packed.table);
	return rc;
}

static struct pack_terms terms_of(uint64_t shard_bytes)
{
	const struct pack_rules rules = {.png_level = 6, .max_pixels = 1000, .most_memory_bytes = 2000};
	struct pack_terms terms;

	pack_terms_set(&terms, &rules, PACK_VERIFY_ALL);
	terms.sample_count = terms.picture_count = PICTURES;
	terms.shard_bytes = shard_bytes;
	return terms;
}

/* In memory, where there is such a folder: thousands of packings sync their files. */
static int make_dataset(void **state)
{
	uint64_t seed = 5;
	char name[32];

	strcpy(workplace, "/dev/shm/packing-XXXXXX");
	if ((!mkdtemp(workplace) || chdir(workplace) != 0) && make_workplace(state) != 0)
		return -1;
	put_folder("source");
	for (int i = 0; i < PICTURES; i++) {
		snprintf(name, sizeof name, "source/%d.jpg", i);
		put_file(name, "");
	}
	for (size_t i = 0; i < sizeof stored; i++)
		stored[i / sizeof stored[0]][i % sizeof stored[0]] = (char)seed_next(&seed);
	return dataset_open(&dataset, &(struct dataset_spec){.source = "source", .threads = 1}, NULL) == 0
	               ? pack_pictures_open(&pictures, dataset, false, NULL)
	               : -1;
}

static int drop_dataset(void **state)
{
	pack_pictures_close(&pictures);
	dataset_close(dataset);
	return remove_workplace(state);
}

/* ------------------------------------------------------------------ packings in the folder tree */

static int folder_fd;

static int open_tree(void **state)
{
	if (make_tree(state) != 0)
		return -1;
	folder_fd = open("tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder_fd < 0 ? -1 : 0;
}

static int close_tree(void **state)
{
	close(folder_fd);
	return remove_tree(state);
}

static struct pack_writer opened(uint64_t shard_bytes)
{
	const struct pack_terms terms = terms_of(shard_bytes);
	struct pack_writer writer;
	struct err err;

	if (pack_writer_open(&writer, "tree", folder_fd, &pictures, &terms, &err) != 0)
		fail_msg("%s", err.text);
	return writer;
}

static void add_to(struct pack_writer *writer, uint64_t count)
{
	struct err err;

	while (pack_writer_count(writer) < count)
		if (add(writer, &err) != 0)
			fail_msg("%s", err.text);
}

static void finish(struct pack_writer *writer)
{
	struct err err;

	if (pack_finish(writer, &err) != 0)
		fail_msg("%s", err.text);
}

/* What a packing ends in, file by file; and its journal, from which another one can be made. */
struct files {
	char name[MOST_FILES][32];
	char *bytes[MOST_FILES];
	size_t byte_count[MOST_FILES];
	int count;
};

static void read_file(struct files *files, const char *name)
{
	int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC), place = files->count++;
	struct stat status;

	assert_true(fd >= 0 && place < MOST_FILES);
	assert_int_equal(fstat(fd, &status), 0);
	strcpy(files->name[place], name);
	files->byte_count[place] = (size_t)status.st_size;
	files->bytes[place] = malloc(files->byte_count[place] + 1);
	assert_int_equal(read(fd, files->bytes[place], files->byte_count[place]), files->byte_count[place]);
	close(fd);
}

static struct files read_files(bool with_pack, uint64_t shard_count)
{
	struct files files = {.count = 0};

	read_file(&files, PACK_JOURNAL_NAME);
	if (with_pack)
		read_file(&files, PACK_PART_NAME);
	for (uint64_t shard = 0; shard < shard_count; shard++) {
		char name[PACK_PART_NAME_BYTES];

		snprintf(name, sizeof name, PACK_PART_SHARD_FORMAT, shard);
		read_file(&files, name);
	}
	return files;
}

static void write_files(const struct files *files)
{
	for (int i = 0; i < files->count; i++) {
		int fd = openat(folder_fd, files->name[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

		assert_int_equal(write(fd, files->bytes[i], files->byte_count[i]), files->byte_count[i]);
		close(fd);
	}
}

static void close_files(struct files *files)
{
	for (int i = 0; i < files->count; i++)
		free(files->bytes[i]);
	*files = (struct files){.count = 0};
}

/* All but the journal. */
static void assert_files(const struct files *expected, bool with_pack, uint64_t shard_count)
{
	struct files found = read_files(with_pack, shard_count);

	assert_int_equal(found.count, expected->count);
	for (int i = 1; i < found.count; i++) {
		assert_int_equal(found.byte_count[i], expected->byte_count[i]);
		assert_memory_equal(found.bytes[i], expected->bytes[i], found.byte_count[i]);
	}
	close_files(&found);
}

/* The files of a packing that nothing disturbed; the folder is empty after. */
static struct files undisturbed(uint64_t shard_bytes, bool is_finished)
{
	struct pack_writer writer = opened(shard_bytes);
	uint64_t shard_count;
	struct files files;

	add_to(&writer, PICTURES);
	shard_count = pack_writer_shard_count(&writer);
	if (is_finished)
		finish(&writer);
	pack_writer_close(&writer);
	files = read_files(is_finished || !shard_bytes, shard_count);
	for (int i = 0; i < files.count; i++)
		assert_int_equal(unlinkat(folder_fd, files.name[i], 0), 0);
	return files;
}

/* ------------------------------------------------------------------ tests */

static void an_end_after_any_picture_changes_nothing(void **state)
{
	(void)state;
	for (int with_shards = 0; with_shards < 2; with_shards++) {
		uint64_t shard_bytes = with_shards ? SHARD_BYTES : 0;
		struct files expected = undisturbed(shard_bytes, true);

		assert_true(!with_shards || expected.count >= 5); /* three shards or more */
		for (uint64_t count = 0; count <= PICTURES; count++) {
			struct pack_writer writer = opened(shard_bytes);

			add_to(&writer, count);
			pack_writer_close(&writer);
			writer = opened(shard_bytes);
			assert_int_equal(pack_writer_count(&writer), count);
			assert_int_equal(writer.original_bytes, 100 * count);
			assert_int_equal(pack_tally_count(&writer.tally, PACK_KIND), (count + 2) / 3);
			add_to(&writer, PICTURES);
			finish(&writer);
			pack_writer_close(&writer);
			assert_files(&expected, true, pack_writer_shard_count(&writer));
			for (int i = 0; i < expected.count; i++)
				assert_int_equal(unlinkat(folder_fd, expected.name[i], 0), 0);
		}
		close_files(&expected);
	}
}

static void assert_goes_on(const struct files *expected, uint64_t shard_bytes)
{
	struct pack_writer writer = opened(shard_bytes);

	add_to(&writer, PICTURES);
	pack_writer_close(&writer);
	assert_files(expected, !shard_bytes, pack_writer_shard_count(&writer));
}

/* Each file in turn, cut at each byte, and with each byte damaged; `step`: not all of them. */
static void spoil_everything(const struct files *files, uint64_t shard_bytes, size_t step)
{
	for (int i = 0; i < files->count; i++) {
		for (size_t at = 0; at < files->byte_count[i]; at += step) {
			char damaged = (char)~files->bytes[i][at];
			int fd;

			write_files(files);
			fd = openat(folder_fd, files->name[i], O_WRONLY | O_CLOEXEC);
			assert_int_equal(ftruncate(fd, (off_t)at), 0);
			assert_goes_on(files, shard_bytes);
			write_files(files);
			assert_int_equal(pwrite(fd, &damaged, 1, (off_t)at), 1);
			close(fd);
			if (i == 0 || at >= PACK_HEADER_BYTES) /* the header is written at the end in any case */
				assert_goes_on(files, shard_bytes);
		}
	}
}

static void whatever_is_lost_that_was_not_synced_is_made_again(void **state)
{
	struct files files = undisturbed(0, false);

	(void)state;
	spoil_everything(&files, 0, 3);
	close_files(&files);
}

/* Done with a shard, it is on the disk: only the last one may be spoilt. */
static void so_it_is_in_the_last_shard(void **state)
{
	struct files files = undisturbed(SHARD_BYTES, false);
	int last = files.count - 1;

	(void)state;
	for (size_t at = PACK_HEADER_BYTES; at < files.byte_count[last]; at += 11) {
		char damaged = (char)~files.bytes[last][at];
		int fd;

		write_files(&files);
		fd = openat(folder_fd, files.name[last], O_WRONLY | O_CLOEXEC);
		assert_int_equal(pwrite(fd, &damaged, 1, (off_t)at), 1);
		assert_goes_on(&files, SHARD_BYTES);
		assert_int_equal(ftruncate(fd, (off_t)at), 0);
		close(fd);
		assert_goes_on(&files, SHARD_BYTES);
	}
	write_files(&files);
	for (size_t at = 0; at < files.byte_count[0]; at += 7) {
		write_files(&files);
		assert_int_equal(truncate("tree/" PACK_JOURNAL_NAME, (off_t)at), 0);
		assert_goes_on(&files, SHARD_BYTES);
	}
	close_files(&files);
}

static void assert_refused(const struct pack_terms *terms, int rc, const char *words)
{
	struct pack_writer writer;
	struct err err;

	assert_int_equal(pack_writer_open(&writer, "tree", folder_fd, &pictures, terms, &err), rc);
	pack_writer_close(&writer);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

static void begin_with(uint64_t shard_bytes, bool is_synced)
{
	struct pack_writer writer = opened(shard_bytes);

	add_to(&writer, PICTURES);
	if (is_synced)
		assert_int_equal(pack_writer_sync(&writer, NULL), 0);
	pack_writer_close(&writer);
}

static void what_was_begun_otherwise_is_refused_and_stays(void **state)
{
	struct pack_terms now = terms_of(0);
	struct pack_writer writer;
	struct files files;

	(void)state;
	begin_with(0, false);
	files = read_files(true, 0);
	now.segment_px = 96;
	assert_refused(&now, -EINVAL, "--segment-px was auto when this packing began, and is 96 now");
	now.segment_px = PACK_NO_SEGMENTS;
	assert_refused(&now, -EINVAL, "--segment-px was auto when this packing began, and is 0 now");
	now = terms_of(0);
	now.png_rows = 32;
	assert_refused(&now, -EINVAL, "--png-rows was auto when this packing began, and is 32 now");
	now = terms_of(0);
	now.png_level = 9;
	assert_refused(&now, -EINVAL, "--png-level was 6 ");
	now = terms_of(0);
	now.keep_metadata = 1;
	assert_refused(&now, -EINVAL, "--keep-metadata was off when this packing began, and is on now");
	now = terms_of(0);
	now.bmp_to_png = 1;
	assert_refused(&now, -EINVAL, "--bmp-to-png was off ");
	now = terms_of(0);
	now.verify = PACK_VERIFY_SAMPLE;
	assert_refused(&now, -EINVAL, "--verify was all when this packing began, and is sample now");
	now = terms_of(7);
	assert_refused(&now, -EINVAL, "--shard-bytes was 0 ");
	now = terms_of(0);
	now.max_pixels = 1001;
	assert_refused(&now, -EINVAL, "--max-pixels was 1000 ");
	now = terms_of(0);
	now.most_memory_bytes = 1;
	assert_refused(&now, -EINVAL, "--memory-bytes was 2000 ");
	now = terms_of(0);
	strcpy(now.made_by, "cropring 9");
	assert_refused(&now, -EINVAL, "and this is cropring 9");
	now = terms_of(0);
	now.sample_count++;
	assert_refused(&now, -EINVAL, "the source had 9 samples when this packing began, and has 10 now");
	now = terms_of(0);
	now.fingerprint[3] ^= 1;
	assert_refused(&now, -EINVAL, "the source is not the one");
	assert_files(&files, true, 0);
	close_files(&files);
	writer = opened(0);
	assert_int_equal(pack_writer_count(&writer), PICTURES);
	pack_writer_close(&writer);
}

static void a_synced_file_that_is_short_long_or_gone_is_refused(void **state)
{
	const struct pack_terms terms = terms_of(0), in_shards = terms_of(SHARD_BYTES);

	(void)state;
	begin_with(0, true);
	assert_int_equal(truncate("tree/" PACK_PART_NAME, PACK_HEADER_BYTES), 0);
	assert_refused(&terms, -EINVAL, "tree: one of its files is shorter than its journal says; remove it, and begin anew");
	assert_int_equal(unlink("tree/" PACK_PART_NAME), 0);
	assert_refused(&terms, -EINVAL, "fewer files are there");
	assert_int_equal(unlink("tree/" PACK_JOURNAL_NAME), 0);
	begin_with(SHARD_BYTES, false);
	assert_int_equal(truncate("tree/00000.shard", SHARD_BYTES * 2), 0);
	assert_refused(&in_shards, -EINVAL, "one of its files is longer");
}

static void two_cannot_pack_at_once(void **state)
{
	const struct pack_terms terms = terms_of(0);
	struct pack_writer writer = opened(0);

	(void)state;
	assert_refused(&terms, -EBUSY, "another process is packing there");
	pack_writer_close(&writer);
}

/* Of a shard that is done with all is on the disk: it is not read again. */
static void a_shard_is_synced_before_the_next_begins(void **state)
{
	struct pack_writer writer;
	int fd;

	(void)state;
	begin_with(SHARD_BYTES, false);
	fd = open("tree/00000.shard", O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "damage", 6, PACK_HEADER_BYTES), 6);
	close(fd);
	writer = opened(SHARD_BYTES);
	assert_int_equal(pack_writer_count(&writer), PICTURES);
	pack_writer_close(&writer);
}

/* It is killed right after the terms were written, and goes on: the first file and the journal are to keep their names. */
static void names_are_on_the_disk_also_after_an_early_kill(void **state)
{
	struct pack_writer writer = opened(0);

	(void)state;
	pack_writer_close(&writer);
	assert_int_equal(unlink("tree/" PACK_PART_NAME), 0);
	fsync_watch.count = 0;
	writer = opened(0);
	assert_true(fsync_watch_saw("tree"));
	assert_int_equal(access("tree/" PACK_PART_NAME, F_OK), 0);
	pack_writer_close(&writer);
}

/* A record with the right check that nothing here writes; it would be the second picture. */
static void assert_not_taken(const struct pack_written *written, size_t byte_count, const char *why)
{
	struct pack_writer writer = opened(0);
	char record[sizeof *written + 64] = "";

	assert_int_equal(pack_writer_count(&writer), 1);
	memcpy(record, written, sizeof *written);
	assert_int_equal(pack_journal_append(&writer.journal, PACK_RECORD_PICTURE, &(struct iovec){record, byte_count}, 1), 0);
	assert_int_equal(pack_journal_append(&writer.journal, PACK_RECORD_SYNCED, NULL, 0), 0);
	pack_writer_close(&writer);
	writer = opened(0);
	if (pack_writer_count(&writer) != 1)
		fail_msg("%s", why);
	pack_writer_close(&writer);
}

static void records_that_cannot_be_do_not_count(void **state)
{
	const struct pack_written right = {
		.picture = 1, .at = PACK_HEADER_BYTES + 512, .length = 1, .name_bytes = 3, .reason_bytes = 4, .outcome = PACK_KIND};
	struct pack_writer writer = opened(0);
	struct pack_written wrong;

	(void)state;
	add_to(&writer, 1);
	assert_int_equal(ftruncate(writer.file_fd, 2 * PACK_HEADER_BYTES), 0);
	pack_writer_close(&writer);
	wrong = right;
	wrong.picture = 2;
	assert_not_taken(&wrong, sizeof wrong + 7, "another picture's");
	wrong = right;
	wrong.at += 64;
	assert_not_taken(&wrong, sizeof wrong + 7, "elsewhere");
	wrong = right;
	wrong.shard = 1;
	assert_not_taken(&wrong, sizeof wrong + 7, "in another shard");
	wrong = right;
	wrong.length = UINT64_MAX;
	assert_not_taken(&wrong, sizeof wrong + 7, "longer than any file");
	wrong = right;
	wrong.outcome = PACK_OUTCOME_COUNT;
	assert_not_taken(&wrong, sizeof wrong + 7, "of no outcome");
	wrong = right;
	wrong.name_bytes = 9;
	assert_not_taken(&wrong, sizeof wrong + 7, "with a name beyond its end");
	wrong = right;
	wrong.reason_bytes = 500;
	assert_not_taken(&wrong, sizeof wrong + 7, "with a reason beyond its end");
	assert_not_taken(&right, sizeof right - 1, "too short");
	writer = opened(0);
	assert_int_equal(
		pack_journal_append(&writer.journal, PACK_RECORD_PICTURE,
	                            (struct iovec[]){{(void *)(uintptr_t)&right, sizeof right}, {(void *)(uintptr_t) "NAMwhy?", 7}},
	                            2),
		0);
	assert_int_equal(pack_journal_append(&writer.journal, PACK_RECORD_SYNCED, NULL, 0), 0);
	assert_int_equal(ftruncate(writer.file_fd, 2 * PACK_HEADER_BYTES), 0);
	pack_writer_close(&writer);
	writer = opened(0);
	assert_int_equal(pack_writer_count(&writer), 2); /* so all that was wrong was what was said */
	assert_string_equal(writer.names.data + pack_writer_row(&writer, 1)->name_at, "NAM");
	pack_writer_close(&writer);
}

/* Later shards, of which no record tells any more, are taken away. */
static void shards_that_do_not_count_go(void **state)
{
	struct pack_writer writer;

	(void)state;
	begin_with(SHARD_BYTES, false);
	assert_int_equal(truncate("tree/" PACK_JOURNAL_NAME, 300), 0); /* the terms and one picture */
	writer = opened(SHARD_BYTES);
	assert_int_equal(pack_writer_count(&writer), 1);
	pack_writer_close(&writer);
	assert_int_equal(access("tree/00000.shard", F_OK), 0);
	assert_int_equal(access("tree/00001.shard", F_OK), -1);
	assert_int_equal(access("tree/00002.shard", F_OK), -1);
}

static void what_is_whole_says_so(void **state)
{
	struct pack_writer writer = opened(SHARD_BYTES);
	struct files files;
	uint8_t id[16];

	(void)state;
	add_to(&writer, PICTURES);
	finish(&writer);
	memcpy(id, writer.id, sizeof id);
	pack_writer_close(&writer);
	files = read_files(true, 0);
	assert_memory_equal(files.bytes[1], PACK_MAGIC, 8);
	assert_memory_equal(files.bytes[1] + 8, id, sizeof id);
	close_files(&files);
	assert_int_equal(unlink("tree/00000.shard"), 0); /* it has its name already */
	writer = opened(SHARD_BYTES);
	assert_true(writer.is_whole);
	assert_memory_equal(writer.id, id, sizeof id);
	assert_int_equal(pack_writer_count(&writer), PICTURES);
	assert_true(pack_writer_shard_count(&writer) >= 3);
	pack_writer_close(&writer);
}

static void a_full_file_is_an_error_that_says_what_to_do(void **state)
{
	struct pack_writer writer = opened(0);
	struct err err;
	int full = open("/dev/full", O_RDWR | O_CLOEXEC);

	(void)state;
	if (full < 0)
		skip();
	add_to(&writer, 3);
	assert_true(dup2(full, writer.file_fd) >= 0);
	close(full);
	assert_int_equal(add(&writer, &err), -ENOSPC);
	assert_string_equal(err.text, "tree: cannot be written to: No space left on device; make room and go on with --resume");
	assert_int_equal(pack_writer_count(&writer), 3);
	pack_writer_close(&writer);
	writer = opened(0);
	assert_int_equal(pack_writer_count(&writer), 3);
	pack_writer_close(&writer);
}

static void there_are_no_more_shards_than_five_digits_number(void **state)
{
	struct pack_writer writer = opened(SHARD_BYTES);
	struct err err;

	(void)state;
	writer.shard = PACK_MOST_SHARDS - 1;
	writer.end_bytes = SHARD_BYTES;
	assert_int_equal(add(&writer, &err), -EFBIG);
	assert_string_equal(err.text, "tree: more than 100000 shards; remove it, and begin anew with larger --shard-bytes");
	pack_writer_close(&writer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_end_after_any_picture_changes_nothing, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(whatever_is_lost_that_was_not_synced_is_made_again, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(so_it_is_in_the_last_shard, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(what_was_begun_otherwise_is_refused_and_stays, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(a_synced_file_that_is_short_long_or_gone_is_refused, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(two_cannot_pack_at_once, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(a_shard_is_synced_before_the_next_begins, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(names_are_on_the_disk_also_after_an_early_kill, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(records_that_cannot_be_do_not_count, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(shards_that_do_not_count_go, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(what_is_whole_says_so, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(there_are_no_more_shards_than_five_digits_number, open_tree, close_tree),
		cmocka_unit_test_setup_teardown(a_full_file_is_an_error_that_says_what_to_do, open_tree, close_tree),
	};

	return cmocka_run_group_tests(tests, make_dataset, drop_dataset);
}
