/*
 * liveness_rig.h - a ring, and processes that are told what to do, for the tests of who lives and who is dead.
 */
#ifndef LIVENESS_RIG_H
#define LIVENESS_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/sched.h>

#include "shmring/shmring.h"

enum { TIMES = 20, LIMIT_MS = 20000, QUIET_MS = 15, NO_PID = 0 };

static char ring_name[SHMRING_NAME_BYTES]; /* one for each run of a program: name_the_ring() */

static inline void name_the_ring(void)
{
	snprintf(ring_name, sizeof ring_name, "liveness-%d", getpid());
}

/* A child that is told what to do, one letter at a time, and answers with a number each time. */
struct child {
	pid_t pid;
	int control_fd;
};

struct report {
	int32_t rc, pid;
};

/* ------------------------------------------------------------------ the ring */

static inline struct shmring_producer *create(void)
{
	const struct shmring_field field = {.name = "payload", .dtype = SHMRING_INT32, .dim_count = 1, .shape = {16}};
	const struct shmring_config config = {.name = ring_name,
	                                      .slot_count = 8,
	                                      .share = SHMRING_SPLIT,
	                                      .reader_limit = 3,
	                                      .fields = &field,
	                                      .field_count = 1,
	                                      .catalog_fd = -1,
	                                      .subject = "a test"};
	struct shmring_producer *producer;
	struct err err = {.text = ""};

	if (shmring_create(&producer, &config, &err) < 0 || shmring_door_open(producer, NULL, &err) < 0)
		fail_msg("%s", err.text);
	return producer;
}

static inline void publish(struct shmring_producer *producer)
{
	struct shmring_slot slot;

	assert_int_equal(shmring_claim(producer, 1000, &slot), 0);
	shmring_commit(producer, &slot, 0, 1);
}

/* ------------------------------------------------------------------ children */

static inline void answer(int control_fd, int32_t rc, int32_t pid)
{
	const struct report report = {rc, pid};

	if (write(control_fd, &report, sizeof report) != sizeof report)
		_exit(9);
}

static inline struct report hear(const struct child *child)
{
	struct report report = {-1, -1};

	assert_int_equal(read(child->control_fd, &report, sizeof report), sizeof report);
	return report;
}

static inline struct report tell(const struct child *child, char order)
{
	assert_int_equal(write(child->control_fd, &order, 1), 1);
	return hear(child);
}

/* fork(), optionally into a PID namespace of its own or with a certain pid; negative errno. */
static inline pid_t clone_process(uint64_t flags, pid_t wanted)
{
	struct clone_args arguments = {.flags = flags, .exit_signal = SIGCHLD};
	pid_t child;

	if (flags == 0 && wanted == NO_PID) {
		child = fork();
		return child < 0 ? -errno : child;
	}
	if (wanted != NO_PID) {
		arguments.set_tid = (uint64_t)(uintptr_t)&wanted;
		arguments.set_tid_size = 1;
	}
	child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
	return child < 0 ? -errno : child;
}

/* Starts `live` in a child, which ends with this process at the latest; false when that is not permitted. */
static inline bool start(struct child *child, void (*live)(int control_fd), uint64_t clone_flags)
{
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
	child->pid = clone_process(clone_flags, NO_PID);
	if (child->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(sockets[0]);
		live(sockets[1]);
		_exit(0);
	}
	close(sockets[1]);
	child->control_fd = sockets[0];
	if (child->pid == -EPERM || child->pid == -ENOSYS) { /* no clone3(): an emulator */
		close(sockets[0]);
		return false;
	}
	assert_true(child->pid > 0);
	return true;
}

static inline void kill_only(const struct child *child)
{
	siginfo_t info;

	kill(child->pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT), 0); /* it is a zombie now */
}

static inline void reap(const struct child *child)
{
	assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
	close(child->control_fd);
}

static inline void kill_and_reap(const struct child *child)
{
	kill(child->pid, SIGKILL);
	reap(child);
}

static inline int attach(struct shmring_reader **reader)
{
	const struct shmring_wish wish = {.hold = 1, .number = SHMRING_ANY_NUMBER};

	return shmring_attach(reader, ring_name, &wish, NULL);
}

/* Another process with the pid that `dead`, reaped already, had; false when that is not permitted. */
static inline bool start_impostor(struct child *impostor, pid_t dead)
{
	pid_t pid = clone_process(0, dead);

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	*impostor = (struct child){.pid = pid};
	if (pid == -EPERM || pid == -ENOSYS)
		return false;
	assert_true(pid == dead || pid == -EEXIST); /* or it is somebody else's by now, which is as good */
	assert_int_equal(kill(dead, 0), 0);
	return true;
}

static inline void dismiss(const struct child *impostor)
{
	if (impostor->pid > 0) {
		kill(impostor->pid, SIGKILL);
		assert_int_equal(waitpid(impostor->pid, NULL, 0), impostor->pid);
	}
}

#endif
