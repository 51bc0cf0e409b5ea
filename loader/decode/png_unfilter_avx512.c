/* Stage 3 of 5, decode: filtered rows of a PNG in, their samples out, several at once.  Any thread, on processors with AVX512. */
#if defined(__x86_64__)

#include "loader/decode/png_unfilter_vector.h"

uint32_t png_unfilter_avx512(const struct png_rows *rows)
{
	return unfilter_any(rows);
}

#endif
