/* source_folder.h - part of stage 1 of 5: a folder in, its images and their classes out. */
#ifndef CROPRING_SOURCE_FOLDER_H
#define CROPRING_SOURCE_FOLDER_H

#include "loader/plan/source.h"

int source_folder_read(struct source *source, struct err *err);

#endif
