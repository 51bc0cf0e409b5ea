/*
 * crashing_codec.c - a library to LD_PRELOAD: decoders that crash on some files.  No file is known on which ours do, so these stand
 * in for the bug that nobody has found yet.
 *
 * A JPEG of 61x67 pixels crashes in the way that CRASHING_CODEC says: "segv", "abort" or "fpe"; "exit" ends the process
 * instead, and "hang" waits for somebody else to do it.
 * One of 61x71 crashes only when the file named by CRASHING_CODEC_ONCE is not there, and makes it: once, whatever process it is.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jpeglib.h>

static void crash(void)
{
	const char *how = getenv("CRASHING_CODEC");

	if (!how || strcmp(how, "segv") == 0)
		*(volatile char *)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
	else if (strcmp(how, "fpe") == 0)
		(void)raise(SIGFPE);
	else if (strcmp(how, "exit") == 0)
		_exit(9);
	else if (strcmp(how, "hang") == 0)
		while (pause() < 0)
			continue;
	abort();
}

static int is_first_time(void)
{
	const char *marker = getenv("CRASHING_CODEC_ONCE");

	return marker && open(marker, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) >= 0;
}

int jpeg_read_header(j_decompress_ptr info, boolean require_image)
{
	static int (*real)(j_decompress_ptr, boolean);
	int rc;

	if (!real)
		real = (int (*)(j_decompress_ptr, boolean))dlsym(RTLD_NEXT, "jpeg_read_header");
	rc = real(info, require_image);
	if (info->image_width == 61 && info->image_height == 67)
		crash();
	if (info->image_width == 61 && info->image_height == 71 && is_first_time())
		crash();
	return rc;
}
