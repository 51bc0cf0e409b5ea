/* source_folder.h - part of stage 1 of 5: a folder in, its images and their classes out. */
#ifndef CROPRING_SOURCE_FOLDER_H
#define CROPRING_SOURCE_FOLDER_H

#include "loader/plan/source.h"

/* No image: readers will name them.  Paths stay beneath it, unless it is "/", which no link can leave. */
int source_folder_name(struct source *source, struct err *err);

int source_folder_read(struct source *source, struct err *err);

#endif
