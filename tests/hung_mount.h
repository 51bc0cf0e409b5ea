/*
 * hung_mount.h - a file system in which reads hang until they are told to go on: what a dead NFS server looks like.
 *
 * A FUSE file system served by a child process, in a mount namespace of its own.  Its files:
 *   hung-N        reading hangs while held; then 64 KB of 0xee at most per read, which must not turn up anywhere
 *   paged-N       the same through the page cache, so that the kernel copies to wherever the buffer was
 *   half-N        the same, direct, of all but the first HALF_BYTES, which are there
 *   unopenable-N  opening hangs while held; then it is empty
 *   short         SHORT_BYTES bytes of rig_byte(SHORT_SEED, ...), of which each read returns at most 4999
 */
#ifndef CROPRING_TESTS_HUNG_MOUNT_H
#define CROPRING_TESTS_HUNG_MOUNT_H

#include "tests/fetch_rig.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SHORT_SEED         17u
#define SHORT_BYTES        300007u
#define SHORT_ANSWER_BYTES 4999u
#define HALF_BYTES         16384u

enum hung_node { NODE_ROOT = 1, NODE_SHORT = 2, NODE_HUNG = 3, NODE_UNOPENABLE = 4, NODE_PAGED = 5, NODE_HALF = 6 };

struct hung_server {
	int device_fd, control_fd;
	bool held;
	struct held_request {
		uint64_t unique;
		uint32_t opcode, byte_count;
	} waiting[64];
	uint32_t waiting_count;
};

static pid_t hung_pid = -1;
static int hung_control_fd = -1;
static char hung_folder[80];

static inline void hung_answer(struct hung_server *server, uint64_t unique, int error, const void *body, size_t body_bytes)
{
	static uint8_t message[sizeof(struct fuse_out_header) + 65536];
	struct fuse_out_header header = {.len = (uint32_t)(sizeof header + body_bytes), .error = -error, .unique = unique};

	memcpy(message, &header, sizeof header);
	if (body_bytes > 0)
		memcpy(message + sizeof header, body, body_bytes);
	(void)!write(server->device_fd, message, header.len); /* fails when who asked is gone */
}

static inline struct fuse_attr hung_attributes(uint64_t node)
{
	return (struct fuse_attr){
		.ino = node, .mode = node == NODE_ROOT ? S_IFDIR | 0755 : S_IFREG | 0644, .nlink = 1, .size = 1 << 20};
}

static inline void hung_look_up(struct hung_server *server, uint64_t unique, const char *name)
{
	struct fuse_entry_out entry = {.nodeid = strcmp(name, "short") == 0              ? NODE_SHORT
	                                         : strncmp(name, "hung-", 5) == 0        ? NODE_HUNG
	                                         : strncmp(name, "paged-", 6) == 0       ? NODE_PAGED
	                                         : strncmp(name, "half-", 5) == 0        ? NODE_HALF
	                                         : strncmp(name, "unopenable-", 11) == 0 ? NODE_UNOPENABLE
	                                                                                 : 0};

	entry.attr = hung_attributes(entry.nodeid);
	entry.entry_valid = entry.attr_valid = 60; /* in seconds; names stay in memory, as those of real servers do for a while */
	hung_answer(server, unique, entry.nodeid ? 0 : ENOENT, &entry, entry.nodeid ? sizeof entry : 0);
}

static inline void hung_let_go(struct hung_server *server, const struct held_request *request)
{
	static uint8_t poison[65536];
	struct fuse_open_out opened = {.open_flags = FOPEN_DIRECT_IO};

	memset(poison, 0xee, sizeof poison);
	if (request->opcode == FUSE_OPEN)
		hung_answer(server, request->unique, 0, &opened, sizeof opened);
	else
		hung_answer(server, request->unique, 0, poison,
		            request->byte_count < sizeof poison ? request->byte_count : sizeof poison);
}

static inline void hung_hold(struct hung_server *server, struct held_request request)
{
	if (server->held && server->waiting_count < 64)
		server->waiting[server->waiting_count++] = request;
	else
		hung_let_go(server, &request);
}

static inline void hung_read_short(struct hung_server *server, uint64_t unique, const struct fuse_read_in *asked)
{
	uint8_t bytes[SHORT_ANSWER_BYTES];
	size_t count = 0;

	while (count < sizeof bytes && count < asked->size && asked->offset + count < SHORT_BYTES) {
		bytes[count] = rig_byte(SHORT_SEED, asked->offset + count);
		count++;
	}
	hung_answer(server, unique, 0, bytes, count);
}

static inline void hung_serve_one(struct hung_server *server)
{
	static union {
		struct fuse_in_header header;
		uint8_t bytes[FUSE_MIN_READ_BUFFER + 65536];
	} request;
	static const uint8_t zeros[HALF_BYTES];
	const struct fuse_in_header *in = &request.header;
	const void *body = request.bytes + sizeof *in;
	struct fuse_init_out init = {.major = FUSE_KERNEL_VERSION,
	                             .minor = 31,
	                             .flags = FUSE_ASYNC_READ,
	                             .max_background = 64,
	                             .congestion_threshold = 64,
	                             .max_write = 4096};
	struct fuse_attr_out attributes = {.attr = {0}};
	struct fuse_open_out opened = {.open_flags = FOPEN_DIRECT_IO};
	struct fuse_open_out paged = {.open_flags = 0};
	struct fuse_statfs_out totals = {.st = {.namelen = 255, .bsize = 4096}};

	if (read(server->device_fd, &request, sizeof request) < (ssize_t)sizeof *in)
		return;
	switch (in->opcode) {
	case FUSE_INIT:
		hung_answer(server, in->unique, 0, &init, sizeof init);
		break;
	case FUSE_LOOKUP:
		hung_look_up(server, in->unique, body);
		break;
	case FUSE_GETATTR:
		attributes.attr = hung_attributes(in->nodeid);
		hung_answer(server, in->unique, 0, &attributes, sizeof attributes);
		break;
	case FUSE_OPEN:
		if (in->nodeid == NODE_UNOPENABLE)
			hung_hold(server, (struct held_request){in->unique, FUSE_OPEN, 0});
		else
			hung_answer(server, in->unique, 0, in->nodeid == NODE_PAGED ? &paged : &opened, sizeof opened);
		break;
	case FUSE_READ:
		if (in->nodeid == NODE_SHORT)
			hung_read_short(server, in->unique, body);
		else if (in->nodeid == NODE_HALF && ((const struct fuse_read_in *)body)->offset < HALF_BYTES)
			hung_answer(server, in->unique, 0, zeros, ((const struct fuse_read_in *)body)->size);
		else if (in->nodeid == NODE_HUNG || in->nodeid == NODE_PAGED || in->nodeid == NODE_HALF)
			hung_hold(server, (struct held_request){in->unique, FUSE_READ, ((const struct fuse_read_in *)body)->size});
		else
			hung_answer(server, in->unique, 0, NULL, 0);
		break;
	case FUSE_STATFS:
		hung_answer(server, in->unique, 0, &totals, sizeof totals);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT: /* a dead server does not hear it */
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		hung_answer(server, in->unique, 0, NULL, 0);
		break;
	default:
		hung_answer(server, in->unique, ENOSYS, NULL, 0);
	}
}

static inline void hung_serve(struct hung_server server)
{
	for (;;) {
		struct pollfd ready[2] = {{.fd = server.device_fd, .events = POLLIN}, {.fd = server.control_fd, .events = POLLIN}};
		char command;

		poll(ready, 2, -1);
		if (ready[0].revents & (POLLERR | POLLHUP))
			_exit(0);
		if (ready[0].revents & POLLIN)
			hung_serve_one(&server);
		if (ready[1].revents == 0)
			continue;
		if (read(server.control_fd, &command, 1) != 1)
			_exit(0);
		server.held = command == 'h';
		for (; !server.held && server.waiting_count > 0; server.waiting_count--)
			hung_let_go(&server, &server.waiting[server.waiting_count - 1]);
		(void)!write(server.control_fd, &command, 1);
	}
}

/* False, with a line that says why, where this user or machine cannot mount FUSE. */
static inline bool hung_mount(void)
{
	struct hung_server server = {.held = true};
	int control_fds[2];
	char options[80];

	snprintf(hung_folder, sizeof hung_folder, "%s/mount", rig_folder);
	server.device_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (server.device_fd < 0 || mkdir(hung_folder, 0700) != 0 || unshare(CLONE_NEWNS) != 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control_fds) != 0) {
		print_message("no FUSE here: %s\n", strerror(errno));
		return false;
	}
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u", server.device_fd, geteuid(), getegid());
	if (mount("hung", hung_folder, "fuse", MS_NOSUID | MS_NODEV, options) != 0) {
		print_message("mounting FUSE: %s\n", strerror(errno));
		return false;
	}
	close(rig_folder_fd); /* that one is in the old namespace */
	rig_folder_fd = open(rig_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	server.control_fd = control_fds[0];
	hung_control_fd = control_fds[1];
	hung_pid = fork();
	if (hung_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(RIG_WATCHDOG_S + 10); /* a test that is killed cannot even end while the kernel reads for it here */
		close(hung_control_fd);
		hung_serve(server);
	}
	close(server.device_fd); /* the server's death must end the file system */
	close(server.control_fd);
	return true;
}

static inline void hung_unmount(void)
{
	if (hung_pid <= 0)
		return;
	kill(hung_pid, SIGKILL);
	waitpid(hung_pid, NULL, 0);
	close(hung_control_fd);
	umount2(hung_folder, MNT_DETACH);
}

/* 'h' to hold from here on, 'r' to let go; done when it returns. */
static inline void hung_tell(char command)
{
	assert_int_equal(write(hung_control_fd, &command, 1), 1);
	assert_int_equal(read(hung_control_fd, &command, 1), 1);
}

#endif
