/* test_seats.c - which number a newcomer gets and how many batches it may keep, or the sentence that refuses it. */
#include <pthread.h>

#include "shmring/seats.h"
#include "tests/ring_fixture.h"

/* 7 slots, 3 readers: a share of 2 each. */
static const struct shmring_producer ring = {.name = "seats", .slot_count = 7, .reader_limit = 3};

struct room {
	struct seat seats[LAYOUT_MAX_READERS];
	struct refusal refusal;
};

static struct room empty_room(void)
{
	struct room room = {.refusal = {.code = 0}};

	for (int i = 0; i < LAYOUT_MAX_READERS; i++)
		room.seats[i].pidfd = -1;
	return room;
}

static struct seat seat(int32_t pid, uint32_t hold, bool has_left)
{
	return (struct seat){.pidfd = 0, .pid = pid, .hold = hold, .has_left = has_left};
}

static void the_first_free_number_is_given(void **state)
{
	struct room room = empty_room();

	(void)state;
	room.seats[0] = seat(40, 1, false);
	assert_int_equal(seats_choose_number(room.seats, &ring, SHMRING_ANY_NUMBER, &room.refusal), 1);
	room.seats[1] = seat(41, 1, true);
	assert_int_equal(seats_choose_number(room.seats, &ring, SHMRING_ANY_NUMBER, &room.refusal), 2);
	assert_int_equal(room.refusal.code, 0);
	room.seats[2] = seat(42, 1, false);
	(void)seats_choose_number(room.seats, &ring, SHMRING_ANY_NUMBER, &room.refusal);
	assert_int_equal(room.refusal.code, -EBUSY);
	assert_non_null(strstr(room.refusal.text, "process 40"));
}

static void a_wanted_number_must_exist_and_be_free(void **state)
{
	static const struct {
		int32_t wanted;
		int code;
		const char *text;
	} cases[] = {{2, 0, ""},
	             {3, -EINVAL, "readers 0 to 2"},
	             {-2, -EINVAL, "no number -2"},
	             {0, -EBUSY, "process 40"},
	             {1, -EBUSY, "process 41, which left but still holds"}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct room room = empty_room();
		uint32_t number;

		room.seats[0] = seat(40, 1, false);
		room.seats[1] = seat(41, 1, true);
		number = seats_choose_number(room.seats, &ring, cases[i].wanted, &room.refusal);
		assert_int_equal(room.refusal.code, cases[i].code);
		assert_non_null(strstr(room.refusal.text, cases[i].text));
		if (cases[i].code == 0)
			assert_int_equal(number, cases[i].wanted);
		if (cases[i].wanted == 0)
			assert_null(strstr(room.refusal.text, "left"));
	}
}

static void a_slot_is_always_left_to_fill(void **state)
{
	static const struct {
		uint32_t taken, wanted, granted; /* 0: refused */
	} cases[] = {{0, 0, 2}, {0, 6, 6}, {0, 7, 0}, {4, 0, 2}, {5, 0, 1}, {6, 0, 0}, {3, 3, 3}, {3, 4, 0}, {0, UINT32_MAX, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (int has_left = 0; has_left <= 1; has_left++) { /* a leaver may still hold what it said */
			struct room room = empty_room();

			if (cases[i].taken > 0)
				room.seats[1] = seat(41, cases[i].taken, has_left != 0);
			assert_int_equal(seats_choose_hold(room.seats, &ring, cases[i].wanted, &room.refusal), cases[i].granted);
			assert_int_equal(room.refusal.code, cases[i].granted > 0 ? 0 : -EBUSY);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_free_number_is_given),
		cmocka_unit_test(a_wanted_number_must_exist_and_be_free),
		cmocka_unit_test(a_slot_is_always_left_to_fill),
	};

	return cmocka_run_group_tests_name("seats", tests, NULL, NULL);
}
