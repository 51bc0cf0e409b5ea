/* asking_rig.h - a worker with --requests, and this process as the one that started it: requests out, batches in. */
#ifndef ASKING_RIG_H
#define ASKING_RIG_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/plan/crop.h"
#include "loader/plan/request.h"
#include "loader/run/pipeline.h"
#include "shmring/shmring.h"

enum { ASKING_WAIT_MS = 60000, ASKING_SIDE_PX = 32 };

struct asking {
	pid_t worker;
	struct shmring_reader *reader;
};

/* Starts `cropring serve` with these flags, SOURCE last, NULL at the end. */
static inline void asking_start(struct asking *asking, const char *const flags[])
{
	const char *argv[32] = {CROPRING_EXECUTABLE, "serve", "--size=32", "--threads=2", "--quiet"};
	char reader_fd[32];
	int sockets[2], count = 5;
	struct err err;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
	snprintf(reader_fd, sizeof reader_fd, "--reader-fd=%d", sockets[0]);
	argv[count++] = reader_fd;
	while (*flags)
		argv[count++] = *flags++;
	asking->worker = fork();
	assert_true(asking->worker >= 0);
	if (asking->worker == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves none behind */
		close(sockets[1]);
		execv(argv[0], (char **)argv);
		_exit(127);
	}
	close(sockets[0]);
	if (shmring_attach_fd(&asking->reader, sockets[1], NULL, &err) < 0)
		fail_msg("%s", err.text);
}

/* Leaves; returns the worker's exit code. */
static inline int asking_end(struct asking *asking)
{
	int status;

	shmring_detach(asking->reader);
	assert_int_equal(waitpid(asking->worker, &status, 0), asking->worker);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A request that is being written. */
struct question {
	uint8_t bytes[65536];
	size_t text_bytes;
	char text[16384];
};

static inline struct request_header *question_header(struct question *question)
{
	return (struct request_header *)(void *)question->bytes;
}

static inline struct request_row *question_row(struct question *question, uint32_t row)
{
	return (struct request_row *)(void *)(question->bytes + sizeof(struct request_header)) + row;
}

static inline void question_begin(struct question *question, uint32_t epoch)
{
	question->text_bytes = 0;
	*question_header(question) = (struct request_header){.epoch = epoch};
	memcpy(question_header(question)->magic, REQUEST_MAGIC, 8);
}

/* The next row: a path, or NULL and a sample's number; the whole picture unless the caller changes that. */
static inline struct request_row *question_add(struct question *question, const char *path, uint64_t sample)
{
	struct request_row *row = question_row(question, question_header(question)->row_count++);

	*row = (struct request_row){.sample = sample, .key = sample, .label = -1, .path_at = REQUEST_NO_PATH, .rule = CROP_RESIZE};
	if (path) {
		row->path_at = (uint32_t)question->text_bytes;
		question->text_bytes += (size_t)sprintf(question->text + question->text_bytes, "%s", path) + 1;
	}
	return row;
}

/* Puts the text behind the rows.  Returns the bytes of it all. */
static inline size_t question_end(struct question *question)
{
	struct request_header *header = question_header(question);
	size_t rows_end = sizeof *header + header->row_count * sizeof(struct request_row);

	header->text_bytes = question->text_bytes;
	memcpy(question->bytes + rows_end, question->text, question->text_bytes);
	return rows_end + question->text_bytes;
}

static inline void asking_ask(struct asking *asking, struct question *question)
{
	assert_int_equal(shmring_request(asking->reader, question->bytes, question_end(question)), 0);
}

/* The next answer, which is that of request `sequence`. */
static inline struct shmring_lease asking_answer(struct asking *asking, uint32_t sequence, uint32_t row_count)
{
	struct shmring_lease lease;

	assert_int_equal(shmring_acquire(asking->reader, ASKING_WAIT_MS, &lease), 0);
	assert_int_equal(lease.sequence, sequence);
	assert_int_equal(lease.row_count, row_count);
	return lease;
}

static inline const void *asking_field(const struct asking *asking, const struct shmring_lease *lease, enum pipeline_field field)
{
	return shmring_lease_data(asking->reader, lease, field);
}

static inline const uint8_t *asking_image(const struct asking *asking, const struct shmring_lease *lease, uint32_t row)
{
	const uint8_t *images = asking_field(asking, lease, FIELD_IMAGES);

	return images + (size_t)row * ASKING_SIDE_PX * ASKING_SIDE_PX * 3;
}

#endif
