/*
 * pack_run.h - part of `cropring pack`: pictures in, what is stored of them out, in order, made by many threads within a bound of memory.
 *
 * Memory is granted in the order of the pictures, each before its file is read whole; one goes on alone if it needs more than the
 * bound.  So nobody waits for ever, and who is first does not depend on luck.
 */
#ifndef CROPRING_PACK_RUN_H
#define CROPRING_PACK_RUN_H

#include "loader/pack/pack_work.h"

struct pack_run;

/* Starts `threads` threads, which begin with picture `first`.  *job stays the caller's, and as it is.  -ENOMEM, -EAGAIN. */
int pack_run_open(struct pack_run **run, const struct pack_job *job, uint64_t first, uint32_t threads, uint64_t budget_bytes,
                  struct err *err);

/* Waits until the threads have ended what they are at. */
void pack_run_close(struct pack_run *run);

/* The next picture, in order, until pack_run_give_back(); -ETIMEDOUT: it is not ready.  One thread. */
int pack_run_take(struct pack_run *run, uint32_t timeout_ms, struct pack_result **result);
void pack_run_give_back(struct pack_run *run);

/* The most memory that pictures had at once. */
uint64_t pack_run_peak_bytes(struct pack_run *run);

#endif
