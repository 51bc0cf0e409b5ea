/* test_asking.c - a worker with --requests: what was asked for comes, in order, and what cannot be had fails alone. */
#include <errno.h>
#include <math.h>
#include <pthread.h>

#include "loader/item_status.h"
#include "tests/asking_rig.h"

#define PHOTOS CROPRING_TEST_DATA "/photos"
#define PHOTO  PHOTOS "/animals/cat.jpg"
#define OTHER  PHOTOS "/buildings/pagoda.jpg"

static struct question question;

static const char *const of_paths[] = {"--requests=paths", "--batch-size=8", "--hflip=0", "--on-error=zero", "/", NULL};
static const char *const of_samples[] = {"--requests=samples", "--batch-size=8", "--on-error=zero", "--seed=5", PHOTOS, NULL};

static bool same_image(const struct asking *asking, const struct shmring_lease *lease, uint32_t row, uint32_t other)
{
	return memcmp(asking_image(asking, lease, row), asking_image(asking, lease, other), ASKING_SIDE_PX * ASKING_SIDE_PX * 3) ==
	       0;
}

static void rows_are_the_files_and_boxes_that_were_asked_for(void **state)
{
	struct asking asking;
	struct shmring_lease lease;
	struct request_row *row;
	const int32_t(*box)[4];

	(void)state;
	asking_start(&asking, of_paths);
	question_begin(&question, 7);
	question_add(&question, PHOTO, 100)->label = 41;
	row = question_add(&question, PHOTO, 101);
	row->rule = CROP_WINDOW;
	row->window[2] = 1;
	row = question_add(&question, OTHER, 102);
	row->rule = CROP_BOX;
	memcpy(row->box, (int32_t[]){3, 5, 40, 30}, sizeof row->box);
	row = question_add(&question, OTHER, UINT64_MAX);
	row->rule = CROP_WINDOW;
	memcpy(row->window, (float[]){0.5f, 0.25f, 0.125f}, sizeof row->window);
	asking_ask(&asking, &question);

	lease = asking_answer(&asking, 0, 4);
	box = asking_field(&asking, &lease, FIELD_BOX);
	assert_int_equal(lease.epoch, 7);
	assert_memory_equal(asking_field(&asking, &lease, FIELD_STATUS), "\0\0\0\0", 4);
	assert_memory_equal(asking_field(&asking, &lease, FIELD_INDEX), ((int64_t[]){100, 101, 102, -1}), 32);
	assert_memory_equal(asking_field(&asking, &lease, FIELD_LABELS), ((int64_t[]){41, -1, -1, -1}), 32);
	assert_true(same_image(&asking, &lease, 0, 1));
	assert_false(same_image(&asking, &lease, 2, 3));
	assert_memory_equal(box[2], ((int32_t[]){3, 5, 40, 30}), 16);
	assert_int_equal(box[3][2], ((const int32_t(*)[2])asking_field(&asking, &lease, FIELD_SOURCE_SIZE))[3][1] / 8);
	shmring_release(asking.reader, &lease);
	assert_int_equal(asking_end(&asking), 0);
}

static void what_cannot_be_had_fails_alone(void **state)
{
	static const char nothing[ASKING_SIDE_PX * ASKING_SIDE_PX * 3];
	struct asking asking;
	struct shmring_lease lease;
	struct request_row *row;
	static char long_path[5000];

	(void)state;
	asking_start(&asking, of_paths);
	question_begin(&question, 0);
	question_add(&question, PHOTO, 0);
	question_add(&question, PHOTOS "/no such file", 1);
	question_add(&question, "", 2);
	row = question_add(&question, NULL, 3);
	row->rule = CROP_WINDOW;
	row->window[0] = 2; /* of two faults, the first is told */
	row = question_add(&question, PHOTO, 4);
	row->rule = CROP_WINDOW;
	row->window[1] = NAN;
	row = question_add(&question, PHOTO, 5);
	row->rule = CROP_BOX;
	memcpy(row->box, (int32_t[]){0, 0, INT32_MAX, 10}, sizeof row->box);
	memset(long_path, 'x', sizeof long_path - 1);
	question_add(&question, long_path, 6);
	question_add(&question, PHOTO, 7);
	asking_ask(&asking, &question);

	lease = asking_answer(&asking, 0, 8);
	assert_memory_equal(asking_field(&asking, &lease, FIELD_STATUS),
	                    ((uint8_t[]){ITEM_OK, ITEM_MISSING, ITEM_MISSING, ITEM_MISSING, ITEM_BAD_BOX, ITEM_BAD_BOX,
	                                 ITEM_UNREADABLE, ITEM_OK}),
	                    8);
	assert_true(same_image(&asking, &lease, 0, 7));
	for (uint32_t i = 1; i < 7; i++) {
		assert_memory_equal(asking_image(&asking, &lease, i), nothing, sizeof nothing);
		assert_int_equal(((const int64_t *)asking_field(&asking, &lease, FIELD_INDEX))[i], i);
	}
	shmring_release(asking.reader, &lease);
	assert_int_equal(asking_end(&asking), 0);
}

static void below_a_folder_nothing_else_is_read(void **state)
{
	static const char *const flags[] = {"--requests=paths", "--on-error=substitute", PHOTOS "/animals", NULL};
	struct asking asking;
	struct shmring_lease lease;

	(void)state;
	asking_start(&asking, flags);
	question_begin(&question, 0);
	question_add(&question, "cat.jpg", 0);
	question_add(&question, "../buildings/pagoda.jpg", 1);
	question_add(&question, PHOTO, 2);
	question_add(&question, "./cat.jpg", 3);
	asking_ask(&asking, &question);
	lease = asking_answer(&asking, 0, 4);
	assert_memory_equal(asking_field(&asking, &lease, FIELD_STATUS),
	                    ((uint8_t[]){ITEM_OK, ITEM_UNREADABLE, ITEM_UNREADABLE, ITEM_OK}), 4);
	shmring_release(asking.reader, &lease);
	assert_int_equal(asking_end(&asking), 0);
}

static void sample_numbers_are_those_of_the_dataset(void **state)
{
	struct asking asking;
	struct shmring_lease first, second;
	struct request_row *row;

	(void)state;
	asking_start(&asking, of_samples);
	for (int i = 0; i < 2; i++) { /* the same numbers, the same pixels, in whatever order */
		question_begin(&question, 3);
		for (uint64_t j = 0; j < 4; j++) {
			row = question_add(&question, NULL, i == 0 ? j : 3 - j);
			row->rule = REQUEST_USUAL_RULE;
		}
		question_add(&question, NULL, UINT64_MAX);
		question_add(&question, PHOTO, 1);
		row = question_add(&question, NULL, 0);
		row->rule = REQUEST_USUAL_RULE;
		row->key = 8;
		asking_ask(&asking, &question);
	}
	first = asking_answer(&asking, 0, 7);
	second = asking_answer(&asking, 1, 7);
	for (uint32_t j = 0; j < 4; j++) {
		assert_memory_equal(asking_image(&asking, &first, j), asking_image(&asking, &second, 3 - j),
		                    ASKING_SIDE_PX * ASKING_SIDE_PX * 3);
		assert_int_equal(((const int64_t *)asking_field(&asking, &first, FIELD_LABELS))[j], 0); /* there are 4 animals */
	}
	assert_memory_equal(asking_field(&asking, &first, FIELD_STATUS), ((uint8_t[]){0, 0, 0, 0, ITEM_MISSING, ITEM_MISSING, 0}),
	                    7);
	assert_int_equal(((const int64_t *)asking_field(&asking, &first, FIELD_LABELS))[4], -1);
	assert_false(same_image(&asking, &first, 0, 6)); /* the key decides the box */
	shmring_release(asking.reader, &first);
	shmring_release(asking.reader, &second);
	assert_int_equal(asking_end(&asking), 0);
}

static void a_sample_that_is_not_there_can_have_a_substitute(void **state)
{
	enum { ANIMALS = 4, ROWS = 32, SECOND_BEGINS = 5, INSTEAD = ITEM_MISSING | ITEM_FLAG_SUBSTITUTED };
	static const char *const flags[] = {"--requests=samples", "--on-error=substitute", PHOTOS "/animals", NULL};
	struct asking asking;
	struct shmring_lease first, second;
	const int64_t *of_first, *of_second;
	const uint8_t *status;

	(void)state;
	asking_start(&asking, flags);
	question_begin(&question, 0);
	for (uint64_t sample = 0; sample < ROWS; sample++)
		question_add(&question, NULL, sample);
	asking_ask(&asking, &question);
	question_begin(&question, 0);
	question_header(&question)->first_position = SECOND_BEGINS;
	for (uint32_t row = SECOND_BEGINS; row < ROWS; row++)
		question_add(&question, NULL, row);
	asking_ask(&asking, &question);
	first = asking_answer(&asking, 0, ROWS);
	second = asking_answer(&asking, 1, ROWS - SECOND_BEGINS);
	status = asking_field(&asking, &first, FIELD_STATUS);
	of_first = asking_field(&asking, &first, FIELD_INDEX);
	of_second = asking_field(&asking, &second, FIELD_INDEX);
	for (uint32_t row = 0; row < ROWS; row++) {
		assert_int_equal(status[row], row < ANIMALS ? ITEM_OK : INSTEAD);
		assert_in_range(of_first[row], 0, ANIMALS - 1);
	}
	/* which one depends on the position alone */
	assert_memory_equal(of_first + SECOND_BEGINS, of_second, (ROWS - SECOND_BEGINS) * sizeof *of_second);
	assert_memory_not_equal(of_first + ANIMALS, of_second, (ROWS - SECOND_BEGINS) * sizeof *of_second);
	shmring_release(asking.reader, &first);
	shmring_release(asking.reader, &second);
	assert_int_equal(asking_end(&asking), 0);
}

/* Many more than the slots and all queues hold. */
enum { FLOOD = 400 };

static void *ask_many(void *argument)
{
	static struct question own;
	struct asking *asking = argument;

	for (uint64_t i = 0; i < FLOOD; i++) {
		question_begin(&own, (uint32_t)i);
		for (uint64_t row = 0; row < i % 4; row++)
			question_add(&own, row % 2 ? PHOTO : OTHER, 1000 * i + row);
		asking_ask(asking, &own);
	}
	return NULL;
}

static void answers_come_in_the_order_of_the_requests_however_many(void **state)
{
	struct asking asking;
	pthread_t thread;

	(void)state;
	asking_start(&asking, of_paths);
	assert_int_equal(pthread_create(&thread, NULL, ask_many, &asking), 0);
	for (uint32_t i = 0; i < FLOOD; i++) {
		struct shmring_lease lease = asking_answer(&asking, i, i % 4);

		assert_int_equal(lease.epoch, i);
		for (uint32_t row = 0; row < i % 4; row++)
			assert_int_equal(((const int64_t *)asking_field(&asking, &lease, FIELD_INDEX))[row], 1000 * i + row);
		shmring_release(asking.reader, &lease);
	}
	pthread_join(thread, NULL);
	assert_int_equal(asking_end(&asking), 0);
}

static void nobody_waits_for_answers_when_the_asker_leaves(void **state)
{
	struct asking asking;

	(void)state;
	asking_start(&asking, of_paths);
	for (int i = 0; i < 100; i++) { /* more than the queue and the slots take */
		question_begin(&question, 0);
		question_add(&question, PHOTO, 0);
		asking_ask(&asking, &question);
	}
	assert_int_equal(asking_end(&asking), 0);
}

static void a_request_that_is_none_ends_the_stream(void **state)
{
	static const char *const sentences[] = {"does not begin like one",
	                                        "more than --batch-size 8",
	                                        "bytes of text",
	                                        "has no end",
	                                        "path at byte",
	                                        "crop rule 6"};

	(void)state;
	for (size_t i = 0; i < sizeof sentences / sizeof sentences[0]; i++) {
		struct shmring_lease lease;
		struct asking asking;
		char text[512];
		size_t byte_count;
		int status;

		asking_start(&asking, of_paths);
		question_begin(&question, 0);
		question_add(&question, PHOTO, 0);
		byte_count = question_end(&question);
		switch (i) {
		case 0:
			question.bytes[0]++;
			break;
		case 1:
			question_header(&question)->row_count = UINT32_MAX;
			break;
		case 2:
			question_header(&question)->text_bytes--;
			break;
		case 3:
			question.bytes[byte_count - 1] = 'g';
			break;
		case 4:
			question_row(&question, 0)->path_at = (uint32_t)question.text_bytes;
			break;
		default:
			question_row(&question, 0)->rule = CROP_WINDOW + 1;
		}
		assert_int_equal(shmring_request(asking.reader, question.bytes, byte_count), 0);
		assert_int_equal(shmring_acquire(asking.reader, ASKING_WAIT_MS, &lease), -EPIPE);
		assert_int_equal(shmring_end_text(asking.reader, text, sizeof text), SHMRING_FAILED);
		if (!strstr(text, sentences[i]))
			fail_msg("%s", text);
		assert_int_equal(waitpid(asking.worker, &status, 0), asking.worker);
		assert_int_equal(WEXITSTATUS(status), 1);
		shmring_detach(asking.reader);
	}
}

static void stop_means_stop(void **state)
{
	static const char *const flags[] = {"--requests=paths", "--on-error=stop", "/", NULL};
	struct asking asking;
	struct shmring_lease lease;
	char text[512];
	int status;

	(void)state;
	asking_start(&asking, flags);
	question_begin(&question, 0);
	question_add(&question, PHOTOS "/none.jpg", 0);
	asking_ask(&asking, &question);
	assert_int_equal(shmring_acquire(asking.reader, ASKING_WAIT_MS, &lease), -EPIPE);
	assert_int_equal(shmring_end_text(asking.reader, text, sizeof text), SHMRING_FAILED);
	assert_int_equal(strncmp(text, PHOTOS "/none.jpg: ", strlen(PHOTOS "/none.jpg: ")), 0);
	assert_int_equal(waitpid(asking.worker, &status, 0), asking.worker);
	assert_int_equal(WEXITSTATUS(status), 3);
	shmring_detach(asking.reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_the_files_and_boxes_that_were_asked_for),
		cmocka_unit_test(what_cannot_be_had_fails_alone),
		cmocka_unit_test(below_a_folder_nothing_else_is_read),
		cmocka_unit_test(sample_numbers_are_those_of_the_dataset),
		cmocka_unit_test(a_sample_that_is_not_there_can_have_a_substitute),
		cmocka_unit_test(answers_come_in_the_order_of_the_requests_however_many),
		cmocka_unit_test(nobody_waits_for_answers_when_the_asker_leaves),
		cmocka_unit_test(a_request_that_is_none_ends_the_stream),
		cmocka_unit_test(stop_means_stop),
	};

	return cmocka_run_group_tests_name("asking", tests, NULL, NULL);
}
