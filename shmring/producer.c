/* producer.c - the writing side of the ring: free slots are claimed, filled, and published in the order of their batches. */
#include "shmring/producer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shmring/audit.h"
#include "shmring/bell.h"
#include "shmring/segment.h"
#include "shmring/slot.h"
#include "shmring/times.h"

static int check_name(const char *name, struct err *err)
{
	size_t length = strlen(name);

	if (length < 1 || length >= SHMRING_NAME_BYTES)
		return err_fail(err, -EINVAL, "ring name '%s': 1 to %d characters, please", name, SHMRING_NAME_BYTES - 1);
	if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != length)
		return err_fail(err, -EINVAL, "ring name '%s': only letters, digits, '.', '_' and '-', please", name);
	return 0;
}

int shmring_measure(const struct shmring_config *config, uint64_t *slot_bytes, uint64_t *segment_bytes, struct err *err)
{
	struct shmring_field fields[SHMRING_MAX_FIELDS] = {0};

	if (config->field_count <= SHMRING_MAX_FIELDS)
		memcpy(fields, config->fields, config->field_count * sizeof fields[0]);
	return layout_measure(fields, config->field_count, config->slot_count, slot_bytes, segment_bytes, err);
}

static void write_header(struct shmring_producer *producer, const struct shmring_config *config, const struct shmring_field *fields)
{
	struct layout_header *header = producer->map.header;

	memcpy(header->magic, LAYOUT_MAGIC, sizeof header->magic);
	header->fingerprint = layout_fingerprint();
	header->slot_count = config->slot_count;
	header->field_count = config->field_count;
	header->counter_count = config->counter_count;
	header->share = config->share;
	header->reader_limit = config->reader_limit;
	header->producer_pid = getpid();
	header->segment_bytes = producer->segment_bytes;
	header->slot_stride_bytes = producer->slot_stride_bytes;
	memcpy(header->name, producer->name, sizeof header->name);
	memcpy(header->field, fields, config->field_count * sizeof fields[0]);
	for (uint32_t i = 0; i < config->counter_count; i++)
		strncpy(header->counter_name[i], config->counter_names[i], sizeof header->counter_name[i] - 1);
}

static int init_bells(struct layout_bells *bells)
{
	if (sem_init(&bells->producer_bell, 1, 0) < 0)
		return -errno;
	for (uint32_t i = 0; i < LAYOUT_MAX_READERS; i++) {
		if (sem_init(&bells->reader[i].bell, 1, 0) < 0)
			return -errno;
	}
	return 0;
}

int shmring_create(struct shmring_producer **out, const struct shmring_config *config, struct err *err)
{
	struct shmring_field fields[SHMRING_MAX_FIELDS] = {0};
	struct shmring_producer *producer = NULL;
	void *base = NULL;
	int rc;

	rc = check_name(config->name, err);
	if (rc < 0)
		return rc;
	if (config->reader_limit < 1 || config->reader_limit > LAYOUT_MAX_READERS || config->reader_limit >= config->slot_count)
		return err_fail(
			err, -EINVAL,
			"%u readers and %u slots: 1 to %d readers, please, and a slot more than readers, since each keeps a batch "
			"while it asks for the next",
			config->reader_limit, config->slot_count, LAYOUT_MAX_READERS);
	if (config->counter_count > SHMRING_MAX_COUNTERS || config->field_count > SHMRING_MAX_FIELDS)
		return err_fail(err, -EINVAL, "%u counters and %u fields, at most %d and %d", config->counter_count,
		                config->field_count, SHMRING_MAX_COUNTERS, SHMRING_MAX_FIELDS);
	producer = calloc(1, sizeof *producer);
	if (!producer)
		return err_fail(err, -ENOMEM, "out of memory");
	producer->segment_fd = -1;
	producer->view_fd = -1;
	producer->pidfd = -1;
	producer->catalog_fd = config->catalog_fd;
	producer->share = config->share;
	producer->takes_requests = config->takes_requests;
	producer->reader_limit = config->reader_limit;
	producer->slot_count = config->slot_count;
	producer->field_count = config->field_count;
	producer->counter_count = config->counter_count;
	producer->first_batch = producer->next_claim = producer->next_publish = config->first_batch;
	strncpy(producer->name, config->name, sizeof producer->name - 1);
	strncpy(producer->subject, config->subject ? config->subject : "", sizeof producer->subject - 1);
	pthread_mutex_init(&producer->publish_lock, NULL);

	memcpy(fields, config->fields, config->field_count * sizeof fields[0]);
	rc = layout_measure(fields, config->field_count, config->slot_count, &producer->slot_stride_bytes, &producer->segment_bytes,
	                    err);
	if (rc < 0)
		goto fail;
	for (uint32_t i = 0; i < config->field_count; i++)
		producer->field_offset_bytes[i] = fields[i].offset_bytes;

	producer->pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (producer->pidfd < 0) {
		rc = err_fail(err, -errno, "pidfd_open: %s (Linux 5.3 or newer is needed)", strerror(errno));
		goto fail;
	}
	rc = segment_create(config->segment, producer->segment_bytes, &producer->segment_fd, &producer->segment, err);
	if (rc < 0)
		goto fail;
	producer->view_fd = segment_open_view(producer->segment_fd);
	rc = producer->view_fd < 0 ? err_fail(err, producer->view_fd, "no descriptors left: %s", strerror(-producer->view_fd))
	                           : segment_map(producer->segment_fd, producer->segment_bytes, UINT64_MAX, &base, err);
	if (rc < 0)
		goto fail;
	producer->map = layout_map(base);
	rc = init_bells(producer->map.bells);
	if (rc < 0) {
		err_fail(err, rc, "sem_init: %s", strerror(-rc));
		goto fail;
	}
	for (uint32_t i = 0; i < producer->slot_count; i++) {
		/* relaxed: nobody else has the segment yet */
		atomic_store_explicit(&producer->map.slot[i].word, slot_word(0, 0, LAYOUT_FREE), memory_order_relaxed);
	}
	write_header(producer, config, fields);
	*out = producer;
	return 0;
fail:
	shmring_destroy(producer);
	return rc;
}

void shmring_destroy(struct shmring_producer *producer)
{
	if (!producer)
		return;
	door_close(producer->door);
	if (producer->map.header)
		munmap(producer->map.header, producer->segment_bytes);
	if (producer->segment_fd >= 0)
		close(producer->segment_fd);
	if (producer->view_fd >= 0)
		close(producer->view_fd);
	if (producer->pidfd >= 0)
		close(producer->pidfd);
	pthread_mutex_destroy(&producer->publish_lock);
	free(producer);
}

const char *shmring_segment_name(const struct shmring_producer *producer)
{
	return producer->segment == SHMRING_SEGMENT_SHM ? "shm" : "memfd";
}

/* Any free slot will do, so that a reader that keeps one for long holds up nobody. */
static int claim_free_slot(struct shmring_producer *producer, uint32_t *index, struct shmring_times *before)
{
	int rc;

	pthread_mutex_lock(&producer->publish_lock);
	rc = audit_words(producer, index);
	if (rc == 0 && *index == SLOT_NONE)
		rc = -EAGAIN;
	if (rc == 0) {
		uint64_t batch = producer->next_claim++;
		uint32_t sequence = (uint32_t)batch;

		producer->shadow[*index] = (struct producer_shadow){.sequence = sequence, .batch = batch, .filling = true};
		*before = times_of_slot(&producer->map.slot[*index]);
		times_begin_batch(&producer->map.slot[*index]);
		/* relaxed: FILLING tells readers nothing; READY will be a release */
		atomic_store_explicit(&producer->map.slot[*index].word, slot_word(sequence, 0, LAYOUT_FILLING),
		                      memory_order_relaxed);
	}
	pthread_mutex_unlock(&producer->publish_lock);
	return rc;
}

/* When readers began to hold up the producer, for audience_stalled(). */
static void note_hunger(struct shmring_producer *producer, bool is_starved)
{
	/* relaxed: a time, written by the claiming thread alone */
	uint64_t since_ns = atomic_load_explicit(&producer->starved_since_ns, memory_order_relaxed);

	if (is_starved == (since_ns != 0))
		return;
	since_ns = is_starved ? clock_now_ns() : 0;
	atomic_store_explicit(&producer->starved_since_ns, since_ns, memory_order_relaxed); /* relaxed: as above */
}

int shmring_claim(struct shmring_producer *producer, int timeout_ms, struct shmring_slot *slot)
{
	uint64_t deadline_ns = bell_deadline_ns(timeout_ms);
	uint32_t index;
	int rc;

	for (;;) {
		/* relaxed: a wish; the bell that follows it makes us look again */
		if (atomic_load_explicit(&producer->claims_cancelled, memory_order_relaxed))
			return -ECANCELED;
		rc = claim_free_slot(producer, &index, &slot->before);
		note_hunger(producer, rc == -EAGAIN);
		if (rc != -EAGAIN)
			break;
		if (clock_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		(void)bell_wait(&producer->map.bells->producer_bell, deadline_ns); /* whatever woke us, look again */
	}
	if (rc < 0)
		return rc;
	slot->index = index;
	slot->sequence = producer->shadow[index].sequence;
	for (uint32_t i = 0; i < producer->field_count; i++)
		slot->field[i] = producer->map.slots + index * producer->slot_stride_bytes + producer->field_offset_bytes[i];
	return 0;
}

void shmring_cancel_claims(struct shmring_producer *producer)
{
	/* relaxed: see shmring_claim() */
	atomic_store_explicit(&producer->claims_cancelled, true, memory_order_relaxed);
	bell_ring(&producer->map.bells->producer_bell);
}

void producer_ring_readers(struct shmring_producer *producer, uint32_t mask)
{
	for (uint32_t i = 0; i < LAYOUT_MAX_READERS; i++) {
		if ((mask >> i & 1) != 0)
			bell_ring(&producer->map.bells->reader[i].bell);
	}
}

static uint32_t choose_offered_mask(const struct shmring_producer *producer, uint64_t batch)
{
	switch (producer->share) {
	case SHMRING_SPLIT:
		return 0;
	case SHMRING_LANES:
		return 1u << (batch % producer->reader_limit);
	case SHMRING_BROADCAST:
		return producer->present_mask;
	}
	return 0;
}

static void publish(struct shmring_producer *producer, uint32_t index)
{
	struct producer_shadow *shadow = &producer->shadow[index];
	struct layout_slot *slot = &producer->map.slot[index];

	/* relaxed: the word below hands it to readers; others only look */
	atomic_store_explicit(&slot->epoch, shadow->epoch, memory_order_relaxed);
	slot->row_count = shadow->row_count;
	slot->redelivered = 0;
	shadow->filling = false;
	shadow->done = false;
	shadow->offered_ns = clock_now_ns();
	times_set(&slot->ready_ns, shadow->offered_ns);
	shadow->offered_mask = choose_offered_mask(producer, shadow->batch);
	/* [COMMIT] release: every field of the batch is in memory before a reader sees READY.
	 * Pairs with the acquire loads in slot_find_lowest() and the acquire CAS in claim_word(). */
	atomic_store_explicit(&slot->word, slot_word(shadow->sequence, shadow->offered_mask, LAYOUT_READY), memory_order_release);
	producer->next_publish++;
}

static uint32_t find_due(const struct shmring_producer *producer)
{
	if (producer->poisoned || (producer->share == SHMRING_BROADCAST && !producer->audience_met))
		return SLOT_NONE;
	for (uint32_t i = 0; i < producer->slot_count; i++) {
		const struct producer_shadow *shadow = &producer->shadow[i];

		if (shadow->filling && shadow->done && shadow->batch == producer->next_publish)
			return i;
	}
	return SLOT_NONE;
}

uint32_t producer_publish_due(struct shmring_producer *producer)
{
	uint32_t index, mask = 0;

	while ((index = find_due(producer)) != SLOT_NONE) {
		publish(producer, index);
		mask |= producer->share == SHMRING_SPLIT ? producer->present_mask : producer->shadow[index].offered_mask;
	}
	return mask;
}

void shmring_commit(struct shmring_producer *producer, const struct shmring_slot *slot, uint32_t epoch, uint32_t row_count)
{
	struct producer_shadow *shadow = &producer->shadow[slot->index];
	uint32_t mask;

	pthread_mutex_lock(&producer->publish_lock);
	assert(shadow->filling && !shadow->done && shadow->sequence == slot->sequence);
	shadow->epoch = epoch;
	shadow->row_count = row_count;
	shadow->done = true;
	mask = producer_publish_due(producer);
	pthread_mutex_unlock(&producer->publish_lock);
	producer_ring_readers(producer, mask);
}

void shmring_finish(struct shmring_producer *producer, enum shmring_end end, const char *text)
{
	struct layout_bells *bells = producer->map.bells;

	pthread_mutex_lock(&producer->publish_lock);
	/* relaxed: only this process writes it, under this lock */
	if (atomic_load_explicit(&bells->end, memory_order_relaxed) == SHMRING_RUNNING) {
		strncpy(bells->end_text, text ? text : "", sizeof bells->end_text - 1);
		/* [END] release: the last READY words and the text are in memory before a reader sees the end.
		 * Pairs with the acquire loads in shmring_acquire() and shmring_end_text(). */
		atomic_store_explicit(&bells->end, (uint32_t)end, memory_order_release);
	}
	pthread_mutex_unlock(&producer->publish_lock);
	producer_ring_readers(producer, UINT32_MAX);
}

uint32_t shmring_ready_count(const struct shmring_producer *producer)
{
	return slot_count_state(producer->map.slot, producer->slot_count, LAYOUT_READY);
}

uint64_t shmring_published(const struct shmring_producer *producer)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&producer->publish_lock; /* const speaks of the ring, not of its lock */
	uint64_t published;

	pthread_mutex_lock(lock);
	published = producer->next_publish - producer->first_batch;
	pthread_mutex_unlock(lock);
	return published;
}
