/* producer.c - the writing side of the ring: free slots are claimed, filled, and published in sequence order. */
#include "shmring/producer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shmring/bell.h"
#include "shmring/segment.h"
#include "shmring/slot.h"

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
	if (config->counter_count > SHMRING_MAX_COUNTERS || config->field_count > SHMRING_MAX_FIELDS)
		return err_fail(err, -EINVAL, "%u counters and %u fields, at most %d and %d", config->counter_count,
		                config->field_count, SHMRING_MAX_COUNTERS, SHMRING_MAX_FIELDS);
	producer = calloc(1, sizeof *producer);
	if (!producer)
		return err_fail(err, -ENOMEM, "out of memory");
	producer->segment_fd = -1;
	producer->pidfd = -1;
	producer->catalog_fd = config->catalog_fd;
	producer->slot_count = config->slot_count;
	producer->field_count = config->field_count;
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
	rc = segment_map(producer->segment_fd, producer->segment_bytes, UINT64_MAX, &base, err);
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
	if (producer->pidfd >= 0)
		close(producer->pidfd);
	pthread_mutex_destroy(&producer->publish_lock);
	free(producer);
}

const char *shmring_segment_name(const struct shmring_producer *producer)
{
	return producer->segment == SHMRING_SEGMENT_SHM ? "shm" : "memfd";
}

/* Could the readers that we let in have written this word?  FILLING slots are ours, readers never touch them. */
static bool word_is_possible(const struct producer_shadow *shadow, uint32_t admitted_mask, uint64_t word)
{
	enum layout_state state = slot_state(word);
	uint32_t mask = slot_mask(word);

	if (slot_sequence(word) != shadow->sequence || slot_seen(word))
		return false;
	if (shadow->filling)
		return state == LAYOUT_FILLING && mask == 0;
	if (state == LAYOUT_HELD)
		return (mask & admitted_mask) == mask && __builtin_popcount(mask) == 1;
	return (state == LAYOUT_FREE || state == LAYOUT_READY) && mask == 0;
}

/* Looks at every word; a free slot, if there is one, in *free_index, else SLOT_NONE.  Called under the lock. */
static int audit_words(struct shmring_producer *producer, uint32_t *free_index)
{
	/* relaxed: a reader can hold a slot only after it was let in, and that it learns from a socket */
	uint32_t admitted_mask = atomic_load_explicit(&producer->admitted_mask, memory_order_relaxed);

	*free_index = SLOT_NONE;
	for (uint32_t i = 0; i < producer->slot_count; i++) {
		/* [RELEASE] acquire: the reader's last loads from this slot happen before we overwrite it.
		 * Pairs with the release CAS in shmring_release(). */
		uint64_t word = atomic_load_explicit(&producer->map.slot[i].word, memory_order_acquire);

		if (!word_is_possible(&producer->shadow[i], admitted_mask, word))
			return -EPROTO;
		if (slot_state(word) == LAYOUT_FREE && *free_index == SLOT_NONE)
			*free_index = i;
	}
	return 0;
}

int shmring_audit(struct shmring_producer *producer)
{
	uint32_t free_index;
	int rc;

	pthread_mutex_lock(&producer->publish_lock);
	rc = audit_words(producer, &free_index);
	pthread_mutex_unlock(&producer->publish_lock);
	return rc;
}

/* Any free slot will do, so that a reader that keeps one for long holds up nobody. */
static int claim_free_slot(struct shmring_producer *producer, uint32_t *index)
{
	int rc;

	pthread_mutex_lock(&producer->publish_lock);
	rc = audit_words(producer, index);
	if (rc == 0 && *index == SLOT_NONE)
		rc = -EAGAIN;
	if (rc == 0) {
		producer->shadow[*index] = (struct producer_shadow){.sequence = producer->next_claim, .filling = true};
		/* relaxed: FILLING tells readers nothing; READY will be a release */
		atomic_store_explicit(&producer->map.slot[*index].word, slot_word(producer->next_claim, 0, LAYOUT_FILLING),
		                      memory_order_relaxed);
		producer->next_claim++;
	}
	pthread_mutex_unlock(&producer->publish_lock);
	return rc;
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
		rc = claim_free_slot(producer, &index);
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

static void ring_readers(struct shmring_producer *producer)
{
	for (uint32_t i = 0; i < LAYOUT_MAX_READERS; i++)
		bell_ring(&producer->map.bells->reader[i].bell);
}

/* Publishes the next batch in sequence if its slot is done.  Called under the lock. */
static bool publish_next(struct shmring_producer *producer)
{
	for (uint32_t i = 0; i < producer->slot_count; i++) {
		struct producer_shadow *shadow = &producer->shadow[i];
		struct layout_slot *slot = &producer->map.slot[i];

		if (!shadow->filling || !shadow->done || shadow->sequence != producer->next_publish)
			continue;
		slot->epoch = shadow->epoch;
		slot->row_count = shadow->row_count;
		shadow->filling = false;
		shadow->done = false;
		/* [COMMIT] release: every field of the batch is in memory before a reader sees READY.
		 * Pairs with the acquire loads in slot_find_lowest_ready() and the acquire CAS in shmring_acquire(). */
		atomic_store_explicit(&slot->word, slot_word(shadow->sequence, 0, LAYOUT_READY), memory_order_release);
		producer->next_publish++;
		return true;
	}
	return false;
}

void shmring_commit(struct shmring_producer *producer, const struct shmring_slot *slot, uint32_t epoch, uint32_t row_count)
{
	struct producer_shadow *shadow = &producer->shadow[slot->index];
	bool published = false;

	pthread_mutex_lock(&producer->publish_lock);
	assert(shadow->filling && !shadow->done && shadow->sequence == slot->sequence);
	shadow->epoch = epoch;
	shadow->row_count = row_count;
	shadow->done = true;
	while (publish_next(producer))
		published = true;
	pthread_mutex_unlock(&producer->publish_lock);
	if (published)
		ring_readers(producer);
}

void shmring_finish(struct shmring_producer *producer, enum shmring_end end, const char *text)
{
	struct layout_bells *bells = producer->map.bells;

	pthread_mutex_lock(&producer->publish_lock);
	/* relaxed: only this process writes it, under this lock */
	if (atomic_load_explicit(&bells->end, memory_order_relaxed) == SHMRING_RUNNING) {
		strncpy(bells->end_text, text ? text : "", sizeof bells->end_text - 1);
		/* [END] release: the last READY words and the text are in memory before a reader sees the end.
		 * Pairs with the acquire load in shmring_acquire() and shmring_end_text(). */
		atomic_store_explicit(&bells->end, (uint32_t)end, memory_order_release);
	}
	pthread_mutex_unlock(&producer->publish_lock);
	ring_readers(producer);
}

uint32_t shmring_ready_count(const struct shmring_producer *producer)
{
	return slot_count_state(producer->map.slot, producer->slot_count, LAYOUT_READY);
}

uint32_t shmring_published(const struct shmring_producer *producer)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&producer->publish_lock; /* const speaks of the ring, not of its lock */
	uint32_t published;

	pthread_mutex_lock(lock);
	published = producer->next_publish;
	pthread_mutex_unlock(lock);
	return published;
}

void shmring_counter_add(struct shmring_producer *producer, uint32_t counter, uint64_t amount)
{
	assert(counter < SHMRING_MAX_COUNTERS);
	/* relaxed: counters are for people; no memory hangs on them */
	atomic_fetch_add_explicit(&producer->map.counters->value[counter], amount, memory_order_relaxed);
}

void shmring_counter_set(struct shmring_producer *producer, uint32_t counter, uint64_t value)
{
	assert(counter < SHMRING_MAX_COUNTERS);
	/* relaxed: as above */
	atomic_store_explicit(&producer->map.counters->value[counter], value, memory_order_relaxed);
}

uint64_t shmring_counter_value(const struct shmring_producer *producer, uint32_t counter)
{
	assert(counter < SHMRING_MAX_COUNTERS);
	/* relaxed: as above */
	return atomic_load_explicit(&producer->map.counters->value[counter], memory_order_relaxed);
}

uint64_t shmring_reader_wait_ns(const struct shmring_producer *producer)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < LAYOUT_MAX_READERS; i++) {
		/* relaxed: a number for people */
		sum += atomic_load_explicit(&producer->map.bells->reader[i].wait_ns, memory_order_relaxed);
	}
	return sum;
}

void shmring_log(struct shmring_producer *producer, const char *line)
{
	struct layout_log *log = producer->map.log;
	size_t line_bytes = strlen(line);
	uint64_t written;

	pthread_mutex_lock(&producer->publish_lock);
	/* relaxed: only this process writes it, under this lock */
	written = atomic_load_explicit(&log->written_bytes, memory_order_relaxed);
	for (size_t i = 0; i <= line_bytes; i++)
		log->text[(written + i) % LAYOUT_LOG_TEXT_BYTES] = i < line_bytes ? line[i] : '\n';
	/* [LOG] release: the line is in memory before its length.  Pairs with the acquire load in shmring_last_lines(). */
	atomic_store_explicit(&log->written_bytes, written + line_bytes + 1, memory_order_release);
	pthread_mutex_unlock(&producer->publish_lock);
}
