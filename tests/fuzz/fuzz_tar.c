/*
 * fuzz_tar.c - hostile tar archives: whatever they hold, each sample lies within the archive, each label is text, and what is
 * refused says so.  With a target's extension and without; as the bytes are, and with the checksums that its headers should have,
 * or nearly no edit would get past those.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/plan/tar/tar_samples.h"
#include "tests/tar_recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void check_place(uint64_t offset, uint64_t length, size_t byte_count)
{
	if (offset < 512 || offset > byte_count || length > byte_count - offset)
		give_up("a sample outside of its archive");
}

static void check(int archive_fd, size_t byte_count, const char *target_extension)
{
	struct err err = {""};
	struct tar_samples samples;
	int rc = tar_samples_read(&samples, archive_fd, "x.tar", target_extension, &err);

	if (rc > 0 || (rc < 0 && strncmp(err.text, "x.tar", 5) != 0))
		give_up("refused without a word");
	for (size_t i = 0; rc == 0 && i < samples.count; i++) {
		const struct tar_sample *sample = &samples.sample[i];

		check_place(sample->offset, sample->length, byte_count);
		if (target_extension)
			check_place(sample->target_offset, sample->target_length, byte_count);
		if (sample->label_at != TAR_NO_LABEL &&
		    (sample->label_at >= samples.labels_bytes ||
		     strlen(samples.labels + sample->label_at) >= samples.labels_bytes - sample->label_at))
			give_up("a label that is no text");
	}
	tar_samples_close(&samples);
}

static void fill(int archive_fd, const uint8_t *data, size_t byte_count)
{
	if (ftruncate(archive_fd, (off_t)byte_count) != 0 || pwrite(archive_fd, data, byte_count, 0) != (ssize_t)byte_count)
		give_up("no memory for the archive");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	uint8_t *mended = malloc(byte_count + 1);
	static int archive_fd = -1;

	if (archive_fd < 0)
		archive_fd = memfd_create("archive", MFD_CLOEXEC);
	fill(archive_fd, data, byte_count);
	check(archive_fd, byte_count, NULL);

	memcpy(mended, data, byte_count);
	for (size_t at = 0; at + 512 <= byte_count; at += 512)
		if (memcmp(mended + at + 257, "ustar", 5) == 0)
			tar_sign(mended + at);
	fill(archive_fd, mended, byte_count);
	check(archive_fd, byte_count, NULL);
	check(archive_fd, byte_count, "seg.png");
	free(mended);
	return 0;
}
