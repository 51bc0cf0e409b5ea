/*
 * simd.h - which vector instructions this processor has, for the few loops that are written more than once.
 *
 * All levels of a loop give the same bytes.  Whoever has such a loop takes the level when it is opened, so that tests can ask for
 * each; a loop that has nothing for a level uses the next one below.
 */
#ifndef CROPRING_SIMD_H
#define CROPRING_SIMD_H

enum simd_level {
	SIMD_PLAIN,  /* C as the compiler makes it: what other processors than x86-64 run */
	SIMD_AVX2,   /* x86-64-v3 */
	SIMD_AVX512, /* x86-64-v4: AVX-512 F, BW, CD, DQ, VL; with VNNI and VBMI, which all of these but the first (2017) have */
};

/* The highest that this processor and the kernel support. */
static inline enum simd_level simd_best(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
	    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi"))
		return SIMD_AVX512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
		return SIMD_AVX2;
#endif
	return SIMD_PLAIN;
}

#endif
