/* Stage 2 of 5, fetch: a new io_uring in, one that can do no more than fetch_uring.c and uring_probe.c ask of it out. */
#include "loader/fetch/uring_restrict.h"

#include <string.h>

#define OPERATION(code)                                                                                                            \
	{                                                                                                                          \
		.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = (code)                                                              \
	}

int uring_restrict_and_enable(struct io_uring *ring, bool *restricted, struct err *err)
{
	/* Registering is not in the list, so that no entry can be added to it. */
	struct io_uring_restriction allowed[] = {
		OPERATION(IORING_OP_OPENAT2),
		OPERATION(IORING_OP_READ),
		OPERATION(IORING_OP_CLOSE),
		OPERATION(IORING_OP_POLL_ADD),
		OPERATION(IORING_OP_ASYNC_CANCEL),
		OPERATION(IORING_OP_NOP),
		{.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_ASYNC | IOSQE_FIXED_FILE},
	};
	int error;

	/* Not io_uring_register_restrictions() and io_uring_enable_rings(): liburing 2.3 does not export them. */
	*restricted = io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_RESTRICTIONS, allowed,
	                                sizeof allowed / sizeof *allowed) == 0;
	error = io_uring_register((unsigned)ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	return error ? err_fail(err, error, "io_uring_register, enabling the ring: %s", strerror(-error)) : 0;
}
