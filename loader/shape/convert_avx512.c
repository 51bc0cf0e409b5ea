/* convert_avx512.c - stage 4 of 5, second half: pixels to values with AVX-512 and VBMI.  Any thread. */
#include "loader/shape/convert_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX512        __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi")))
#define AVX512_INLINE static inline __attribute__((always_inline)) AVX512

/* What each combination has its own loop for. */
struct form {
	enum convert_dtype dtype;
	bool normalise, planes, past_caches;
};

enum { LANES = 16 };

/* What the lanes of a vector are divided and lessened by. */
struct factors {
	__m512 scale, scale_rest, mean, inverse, inverse_rest;
};

/* Lane i holds channel (first + i) % channels; every lane the same for 1 channel. */
AVX512_INLINE struct factors make_factors(const struct converter *converter, uint32_t first, uint32_t channels)
{
	float mean[LANES], inverse[LANES], rest[LANES];

	for (uint32_t i = 0; i < LANES; i++) {
		uint32_t channel = (first + i) % channels;

		mean[i] = converter->spec.mean[channel];
		inverse[i] = converter->per_std[channel].value;
		rest[i] = converter->per_std[channel].rest;
	}
	return (struct factors){_mm512_set1_ps(converter->per_255.value), _mm512_set1_ps(converter->per_255.rest),
	                        _mm512_loadu_ps(mean), _mm512_loadu_ps(inverse), _mm512_loadu_ps(rest)};
}

AVX512_INLINE __m512 convert_lanes(__m512i pixels, const struct factors *factors, bool normalise)
{
	__m512 value = _mm512_cvtepi32_ps(pixels);

	value = _mm512_fmadd_ps(value, factors->scale, _mm512_mul_ps(value, factors->scale_rest));
	if (!normalise)
		return value;
	value = _mm512_sub_ps(value, factors->mean);
	return _mm512_fmadd_ps(value, factors->inverse, _mm512_mul_ps(value, factors->inverse_rest));
}

AVX512_INLINE void store_lanes(void *out, size_t element, const struct form *form, __m512 values)
{
	float *floats = (float *)out + element;
	__m256i *halves = (__m256i *)((uint16_t *)out + element);

	if (form->dtype == CONVERT_FLOAT32 && form->past_caches)
		_mm512_stream_ps(floats, values);
	else if (form->dtype == CONVERT_FLOAT32)
		_mm512_storeu_ps(floats, values);
	else if (form->past_caches)
		_mm256_stream_si256(halves, _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
	else
		_mm256_storeu_si256(halves, _mm512_cvtps_ph(values, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

AVX512_INLINE __m512i load_bytes(const uint8_t *in)
{
	return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)in));
}

/* Values stay in the order of the bytes; three vectors at a time, so that each has its own factors. */
AVX512_INLINE size_t convert_in_order(const struct converter *converter, const uint8_t *in, size_t count, void *out,
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

/* Sixteen pixels of three bytes. */
AVX512_INLINE __m512i load_block(const uint8_t *in)
{
	return _mm512_maskz_loadu_epi8(((__mmask64)1 << 3 * LANES) - 1, in);
}

AVX512_INLINE __m512i channel_lanes(__m512i block, int channel)
{
	__m512i first = _mm512_setr_epi32(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45);

	return _mm512_maskz_permutexvar_epi8(0x1111111111111111, _mm512_add_epi32(first, _mm512_set1_epi32(channel)), block);
}

AVX512_INLINE size_t convert_to_planes(const struct converter *converter, const uint8_t *in, size_t count, void *out,
                                       size_t plane_px, const struct form *form)
{
	struct factors factors[3];
	size_t pixel = 0;

#pragma GCC unroll 4
	for (int channel = 0; channel < 3; channel++) {
		float mean = converter->spec.mean[channel];

		factors[channel] = (struct factors){
			_mm512_set1_ps(converter->per_255.value), _mm512_set1_ps(converter->per_255.rest), _mm512_set1_ps(mean),
			_mm512_set1_ps(converter->per_std[channel].value), _mm512_set1_ps(converter->per_std[channel].rest)};
	}
	for (; count - pixel >= LANES; pixel += LANES) {
		__m512i block = load_block(in + 3 * pixel);

#pragma GCC unroll 4
		for (int channel = 0; channel < 3; channel++)
			store_lanes(out, (size_t)channel * plane_px + pixel, form,
			            convert_lanes(channel_lanes(block, channel), &factors[channel], form->normalise));
	}
	return pixel;
}

/* Bytes that stay bytes, to planes. */
AVX512_INLINE size_t split_bytes(const uint8_t *in, size_t count, uint8_t *out, size_t plane_px)
{
	uint8_t order[64] = {0};
	size_t pixel = 0;
	__m512i from;

	for (uint8_t i = 0; i < 3 * LANES; i++)
		order[i] = (uint8_t)(i % LANES * 3 + i / LANES);
	from = _mm512_loadu_si512(order);
	for (; count - pixel >= LANES; pixel += LANES) {
		__m512i planes = _mm512_permutexvar_epi8(from, load_block(in + 3 * pixel));

		_mm_storeu_si128((__m128i *)(out + pixel), _mm512_castsi512_si128(planes));
		_mm_storeu_si128((__m128i *)(out + plane_px + pixel), _mm512_extracti32x4_epi32(planes, 1));
		_mm_storeu_si128((__m128i *)(out + 2 * plane_px + pixel), _mm512_extracti32x4_epi32(planes, 2));
	}
	return pixel;
}

AVX512_INLINE size_t convert_all(const struct converter *converter, const uint8_t *in, size_t count, void *out, size_t plane_px,
                                 struct form form)
{
	return form.planes ? convert_to_planes(converter, in, count, out, plane_px, &form)
	                   : convert_in_order(converter, in, count, out, &form);
}

AVX512_INLINE size_t convert_normalised(const struct converter *converter, const uint8_t *in, size_t count, void *out,
                                        size_t plane_px, struct form form)
{
	bool normalise = converter->spec.normalise,
	     planes = converter->spec.layout == CONVERT_NCHW && converter->spec.channels == 3;

#define CONVERT(n, p) convert_all(converter, in, count, out, plane_px, (struct form){form.dtype, n, p, form.past_caches})
	return normalise ? (planes ? CONVERT(true, true) : CONVERT(true, false))
	                 : (planes ? CONVERT(false, true) : CONVERT(false, false));
#undef CONVERT
}

AVX512 size_t convert_avx512(const struct converter *converter, const uint8_t *in, size_t count, void *out, size_t plane_px)
{
	const struct convert_spec *spec = &converter->spec;
	bool aligned = ((uintptr_t)out | plane_px * convert_dtype_bytes(spec->dtype)) % 64 == 0;
	size_t done;

	if (spec->dtype == CONVERT_UINT8)
		return spec->layout == CONVERT_NCHW ? split_bytes(in, count, out, plane_px) : 0;
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
