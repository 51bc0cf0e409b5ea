/* test_metrics.c - the text of --metrics says what the ring's counters, slots and readers say, in lines that stand by the format's rules. */
#include <pthread.h>
#include <stdlib.h>

#include "loader/run/metrics.h"
#include "loader/run/stats.h"
#include "tests/audience_fixture.h"

static struct shmring_producer *create(enum shmring_share share, uint32_t readers)
{
	static const struct shmring_field field = {
		.name = "payload", .dtype = SHMRING_INT64, .dim_count = 2, .shape = {RING_ROWS, 32}};
	static const struct shmring_field tag = {.name = "tag", .dtype = SHMRING_UINT8, .dim_count = 1, .shape = {RING_ROWS}};
	const struct shmring_field fields[] = {field, tag};
	const struct shmring_config config = {.name = "metrics",
	                                      .slot_count = 4,
	                                      .share = share,
	                                      .reader_limit = readers,
	                                      .fields = fields,
	                                      .field_count = 2,
	                                      .counter_names = stats_counter_names(),
	                                      .counter_count = STATS_COUNTER_COUNT,
	                                      .catalog_fd = -1};
	struct shmring_producer *producer;
	struct err err = {.text = ""};

	if (shmring_create(&producer, &config, &err) < 0)
		fail_msg("%s", err.text);
	return producer;
}

static char *text_of(const struct shmring_producer *producer)
{
	const struct verdict now = {.kind = VERDICT_LOADER_BOUND, .cause = VERDICT_READ};
	size_t text_bytes;
	char *text = metrics_text(producer, "metrics", &now, &text_bytes);

	assert_non_null(text);
	assert_int_equal(strlen(text), text_bytes);
	return text;
}

static void assert_line(const char *text, const char *line)
{
	char whole[256];

	snprintf(whole, sizeof whole, "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("'%s' is not in\n%s", line, text);
}

static void counters_slots_and_readers_are_all_there(void **state)
{
	struct shmring_producer *producer = create(SHMRING_LANES, 2);
	struct shmring_reader *reader = join(producer, 1, 0);
	struct shmring_lease lease;
	char *text;

	(void)state;
	publish_range(producer, 0, 2);
	expect(reader, &lease, 0, false);
	shmring_counter_set(producer, STATS_IMAGES, 123);
	shmring_counter_set(producer, STATS_READER_WAIT_NS, 5000000007);
	shmring_counter_set(producer, STATS_STATUS_0 + ITEM_CORRUPT, 4);
	text = text_of(producer);
	assert_line(text, "cropring_images_total{ring=\"metrics\"} 123");
	assert_line(text, "cropring_wait_seconds_total{ring=\"metrics\",who=\"trainer\"} 5.000000007");
	assert_line(text, "cropring_bad_samples_total{ring=\"metrics\",reason=\"corrupt\"} 4");
	assert_line(text, "cropring_slots{ring=\"metrics\",state=\"held\"} 1");
	assert_line(text, "cropring_slots{ring=\"metrics\",state=\"ready\"} 2");
	assert_line(text, "cropring_slots{ring=\"metrics\",state=\"free\"} 1");
	assert_line(text, "cropring_reader_lag_batches{ring=\"metrics\",reader=\"0\"} 1");
	assert_line(text, "cropring_reader_lag_batches{ring=\"metrics\",reader=\"1\"} 1"); /* a lane that nobody reads lags, too */
	assert_line(text, "cropring_verdict{ring=\"metrics\",kind=\"loader-bound\",cause=\"read\"} 1");
	free(text);
	assert_int_equal(shmring_release(reader, &lease), 0);
	shmring_detach(reader);
	shmring_destroy(producer);
}

/* OpenMetrics: each family is described before its samples, once; a counter's samples end in _total; the last line is # EOF. */
static void every_sample_belongs_to_the_family_before_it(void **state)
{
	struct shmring_producer *producer = create(SHMRING_SPLIT, 3);
	char *text = text_of(producer), family[64] = "", type[16] = "", name[64], described[64][64];
	int family_count = 0;
	bool ended = false;

	(void)state;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		assert_false(ended);
		if (sscanf(line, "# TYPE %63s %15s", family, type) == 2) {
			for (int i = 0; i < family_count; i++)
				assert_string_not_equal(described[i], family);
			strcpy(described[family_count++], family);
		} else if (line[0] == '#') {
			ended = strcmp(line, "# EOF") == 0;
			assert_true(ended || strncmp(line, "# HELP ", 7) == 0 || strncmp(line, "# UNIT ", 7) == 0);
			assert_true(ended || strncmp(line + 7, family, strlen(family)) == 0);
		} else {
			assert_int_equal(sscanf(line, "%63[a-z_]{", name), 1);
			assert_int_equal(strncmp(name, family, strlen(family)), 0);
			assert_string_equal(name + strlen(family), strcmp(type, "counter") == 0 ? "_total" : "");
		}
	}
	assert_true(ended);
	free(text);
	shmring_destroy(producer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_slots_and_readers_are_all_there),
		cmocka_unit_test(every_sample_belongs_to_the_family_before_it),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
