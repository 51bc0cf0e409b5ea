/* convert_avx2.c - stage 4 of 5, second half: pixels to values with AVX2, FMA and F16C.  Any thread. */
#include "loader/shape/convert_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2        __attribute__((target("avx2,fma,f16c")))
#define AVX2_INLINE static inline __attribute__((always_inline)) AVX2

/* What each combination has its own loop for. */
struct form {
	enum convert_dtype dtype;
	bool normalise, planes, past_caches;
};

enum { LANES = 8 };

/* What the lanes of a vector are divided and lessened by. */
struct factors {
	__m256 scale, scale_rest, mean, inverse, inverse_rest;
};

/* Lane i holds channel (first + i) % channels; every lane the same for 1 channel. */
AVX2_INLINE struct factors make_factors(const struct converter *converter, uint32_t first, uint32_t channels)
{
	float mean[LANES], inverse[LANES], rest[LANES];

	for (uint32_t i = 0; i < LANES; i++) {
		uint32_t channel = (first + i) % channels;

		mean[i] = converter->spec.mean[channel];
		inverse[i] = converter->per_std[channel].value;
		rest[i] = converter->per_std[channel].rest;
	}
	return (struct factors){_mm256_set1_ps(converter->per_255.value), _mm256_set1_ps(converter->per_255.rest),
	                        _mm256_loadu_ps(mean), _mm256_loadu_ps(inverse), _mm256_loadu_ps(rest)};
}

AVX2_INLINE __m256 convert_lanes(__m256i pixels, const struct factors *factors, bool normalise)
{
	__m256 value = _mm256_cvtepi32_ps(pixels);

	value = _mm256_fmadd_ps(value, factors->scale, _mm256_mul_ps(value, factors->scale_rest));
	if (!normalise)
		return value;
	value = _mm256_sub_ps(value, factors->mean);
	return _mm256_fmadd_ps(value, factors->inverse, _mm256_mul_ps(value, factors->inverse_rest));
}

AVX2_INLINE void store_lanes(void *out, size_t element, const struct form *form, __m256 values)
{
	float *floats = (float *)out + element;
	__m128i *halves = (__m128i *)((uint16_t *)out + element);

	if (form->dtype == CONVERT_FLOAT32 && form->past_caches)
		_mm256_stream_ps(floats, values);
	else if (form->dtype == CONVERT_FLOAT32)
		_mm256_storeu_ps(floats, values);
	else if (form->past_caches)
		_mm_stream_si128(halves, _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
	else
		_mm_storeu_si128(halves, _mm256_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

AVX2_INLINE __m256i load_bytes(const uint8_t *in)
{
	return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)in));
}

/* Values stay in the order of the bytes; three vectors at a time, so that each has its own factors. */
AVX2_INLINE size_t convert_in_order(const struct converter *converter, const uint8_t *in, size_t count, void *out,
                                    const struct form *form)
{
	uint32_t channels = converter->spec.channels;
	struct factors factors[3] = {make_factors(converter, 0, channels), make_factors(converter, LANES, channels),
	                             make_factors(converter, 2 * LANES, channels)};
	size_t element = 0;

	for (; count * channels - element >= 3 * LANES; element += 3 * LANES)
#pragma GCC unroll 4
		for (int i = 0; i < 3; i++)
			store_lanes(out, element + (size_t)i * LANES, form,
			            convert_lanes(load_bytes(in + element + i * LANES), &factors[i], form->normalise));
	return element / channels;
}

/* Eight pixels of three bytes, four in each half; what follows is read too, four bytes at most. */
AVX2_INLINE __m256i load_block(const uint8_t *in)
{
	return _mm256_loadu2_m128i((const __m128i *)(in + 12), (const __m128i *)in);
}

AVX2_INLINE __m256i channel_lanes(__m256i block, int channel)
{
	__m256i from = _mm256_setr_epi32(0, 3, 6, 9, 0, 3, 6, 9); /* a byte number over 127 gives 0 */

	return _mm256_shuffle_epi8(block, _mm256_add_epi32(from, _mm256_set1_epi32((int)0x80808000 + channel)));
}

AVX2_INLINE size_t convert_to_planes(const struct converter *converter, const uint8_t *in, size_t count, void *out, size_t plane_px,
                                     const struct form *form)
{
	struct factors factors[3];
	size_t pixel = 0;

#pragma GCC unroll 4
	for (int channel = 0; channel < 3; channel++) {
		float mean = converter->spec.mean[channel];

		factors[channel] = (struct factors){
			_mm256_set1_ps(converter->per_255.value), _mm256_set1_ps(converter->per_255.rest), _mm256_set1_ps(mean),
			_mm256_set1_ps(converter->per_std[channel].value), _mm256_set1_ps(converter->per_std[channel].rest)};
	}
	for (; count - pixel >= LANES + 2; pixel += LANES) {
		__m256i block = load_block(in + 3 * pixel);

#pragma GCC unroll 4
		for (int channel = 0; channel < 3; channel++)
			store_lanes(out, (size_t)channel * plane_px + pixel, form,
			            convert_lanes(channel_lanes(block, channel), &factors[channel], form->normalise));
	}
	return pixel;
}

AVX2_INLINE size_t convert_all(const struct converter *converter, const uint8_t *in, size_t count, void *out, size_t plane_px,
                               struct form form)
{
	return form.planes ? convert_to_planes(converter, in, count, out, plane_px, &form)
	                   : convert_in_order(converter, in, count, out, &form);
}

AVX2_INLINE size_t convert_normalised(const struct converter *converter, const uint8_t *in, size_t count, void *out,
                                      size_t plane_px, struct form form)
{
	bool normalise = converter->spec.normalise,
	     planes = converter->spec.layout == CONVERT_NCHW && converter->spec.channels == 3;

#define CONVERT(n, p) convert_all(converter, in, count, out, plane_px, (struct form){form.dtype, n, p, form.past_caches})
	return normalise ? (planes ? CONVERT(true, true) : CONVERT(true, false))
	                 : (planes ? CONVERT(false, true) : CONVERT(false, false));
#undef CONVERT
}

AVX2 size_t convert_avx2(const struct converter *converter, const uint8_t *in, size_t count, void *out, size_t plane_px)
{
	const struct convert_spec *spec = &converter->spec;
	bool aligned = ((uintptr_t)out | plane_px * convert_dtype_bytes(spec->dtype)) % 64 == 0;
	size_t done;

	if (spec->dtype == CONVERT_UINT8)
		return 0;
#define CONVERT(d, a) convert_normalised(converter, in, count, out, plane_px, (struct form){.dtype = d, .past_caches = a})
	if (spec->dtype == CONVERT_FLOAT32)
		done = aligned ? CONVERT(CONVERT_FLOAT32, true) : CONVERT(CONVERT_FLOAT32, false);
	else
		done = aligned ? CONVERT(CONVERT_FLOAT16, true) : CONVERT(CONVERT_FLOAT16, false);
#undef CONVERT
	if (aligned)
		_mm_sfence(); /* such stores are in no order with those that follow, and the batch's commit is one */
	return done;
}

#endif
