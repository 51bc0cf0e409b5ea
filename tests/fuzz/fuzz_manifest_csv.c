/* fuzz_manifest_csv.c - hostile CSV and TSV files: an index that can be used, or a sentence that tells where what is wrong. */
#include "tests/fuzz/manifest_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	manifest_check(MANIFEST_CSV, data, byte_count);
	manifest_check(MANIFEST_TSV, data, byte_count);
	return 0;
}
