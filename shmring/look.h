/* look.h - what can be seen of a ring by those who only look, from inside the producer and from outside. */
#ifndef SHMRING_LOOK_H
#define SHMRING_LOOK_H

#include "shmring/layout.h"

/* `header`: a private copy, checked.  Whatever the segment says, the result is within the bounds of its types. */
void look(const struct layout_map *map, const struct layout_header *header, struct shmring_snapshot *snapshot);

#endif
