/* reading.h - what base/verdict.h judges, as the worker itself sees it. */
#ifndef CROPRING_READING_H
#define CROPRING_READING_H

#include "base/verdict.h"
#include "shmring/shmring.h"

/* The counters are those of the last service_sample(). */
void reading_take(const struct shmring_producer *producer, struct verdict_reading *reading);

#endif
