/* jpeg_source.h - stage 3 of 5, decode: a file in memory in, what libjpeg reads from out. */
#ifndef CROPRING_JPEG_SOURCE_H
#define CROPRING_JPEG_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>

/* Where the bytes end, libjpeg's error JERR_INPUT_EOF is raised; its own memory source makes up an end marker and a gray rest. */
void jpeg_source_init(struct jpeg_source_mgr *source, const uint8_t *bytes, size_t byte_count);

#endif
