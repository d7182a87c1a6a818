// Vectors of 16 channels on AVX-512: 16 floats, 16 or 32 integers of 16 bits, 16 of 32 bits.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace u2forge::U2FORGE_LEVEL {

// How many rows of a product fit into the 32 registers, by the number of column vectors.
template <int Columns> constexpr int rows_of_product = Columns == 4 ? 6 : 12;
// All steps: six rows of four vectors use each weight that is loaded often enough for the second cache to follow, and
// fetching weights ahead gained nothing there.
constexpr int steps_of_panel = 1 << 20;
constexpr bool fetches_weights = false;

struct F16 {
    static constexpr bool real = true;
    static constexpr int count = 16;
    __m512 v;
};
inline F16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, F16 a) { _mm512_storeu_ps(p, a.v); }
inline F16 broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline F16 operator+(F16 a, F16 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F16 operator-(F16 a, F16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F16 operator*(F16 a, F16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F16 fma(F16 a, F16 b, F16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F16 max(F16 a, F16 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline float sum(F16 a) { return _mm512_reduce_add_ps(a.v); }

inline F16 load(const int32_t* p) { return {_mm512_cvtepi32_ps(_mm512_loadu_si512(p))}; }
inline F16 load(const int16_t* p) {
    const __m256i narrow = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return {_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(narrow))};
}
// Rounded to the nearest level, even at ties, and held within [0, 4095]. Clamped first: a huge float would become
// the smallest integer.
inline void store(int16_t* p, F16 a) {
    const __m512 held = _mm512_min_ps(_mm512_max_ps(a.v, _mm512_setzero_ps()), _mm512_set1_ps(4095.0f));
    const __m512i levels = _mm512_cvtps_epi32(held);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(levels));
}
inline void store_bfloat16(uint16_t* p, F16 a) {
#ifdef __AVX512BF16__
    const __m256i narrow = (__m256i)_mm512_cvtneps_pbh(a.v);
#else
    const __m512i bits = _mm512_castps_si512(a.v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m256i narrow = _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
#endif
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow);
}

// Integers of 16 bits, of one group (S16) or of two (S32); sums wrap.
struct S16 {
    static constexpr bool real = false;
    static constexpr int count = 16;
    __m256i v;
};
struct S32 {
    static constexpr bool real = false;
    static constexpr int count = 32;
    __m512i v;
};
// What transforms work on.
using LevelsAtOnce = S32;
using FloatsAtOnce = F16;
template <class V> V load_levels(const int16_t* p);
template <> inline S16 load_levels<S16>(const int16_t* p) { return {_mm256_loadu_si256((const __m256i*)p)}; }
template <> inline S32 load_levels<S32>(const int16_t* p) { return {_mm512_loadu_si512(p)}; }
template <class V> V broadcast_level(int16_t x);
template <> inline S16 broadcast_level<S16>(int16_t x) { return {_mm256_set1_epi16(x)}; }
template <> inline S32 broadcast_level<S32>(int16_t x) { return {_mm512_set1_epi16(x)}; }
inline void store_levels(int16_t* p, S16 a) { _mm256_storeu_si256((__m256i*)p, a.v); }
inline void store_levels(int16_t* p, S32 a) { _mm512_storeu_si512(p, a.v); }
inline S16 operator+(S16 a, S16 b) { return {_mm256_add_epi16(a.v, b.v)}; }
inline S32 operator+(S32 a, S32 b) { return {_mm512_add_epi16(a.v, b.v)}; }
inline S16 operator-(S16 a, S16 b) { return {_mm256_sub_epi16(a.v, b.v)}; }
inline S32 operator-(S32 a, S32 b) { return {_mm512_sub_epi16(a.v, b.v)}; }
template <int N> inline S16 shift_left(S16 a) { return {_mm256_slli_epi16(a.v, N)}; }
template <int N> inline S32 shift_left(S32 a) { return {_mm512_slli_epi16(a.v, N)}; }
template <int N> inline S16 shift_right(S16 a) { return {_mm256_srai_epi16(a.v, N)}; }
template <int N> inline S32 shift_right(S32 a) { return {_mm512_srai_epi16(a.v, N)}; }
inline S16 max(S16 a, S16 b) { return {_mm256_max_epi16(a.v, b.v)}; }
inline S32 max(S32 a, S32 b) { return {_mm512_max_epi16(a.v, b.v)}; }
// The larger of a and the magnitude of b, without sign: 32768 is one.
inline S16 larger_magnitude(S16 a, S16 b) { return {_mm256_max_epu16(a.v, _mm256_abs_epi16(b.v))}; }
inline S32 larger_magnitude(S32 a, S32 b) { return {_mm512_max_epu16(a.v, _mm512_abs_epi16(b.v))}; }
// The largest of all, without sign.
inline uint16_t largest(S16 a) {
    const __m128i eight = _mm_max_epu16(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
    return static_cast<uint16_t>(~_mm_extract_epi16(_mm_minpos_epu16(_mm_xor_si128(eight, _mm_set1_epi16(-1))), 0));
}
inline uint16_t largest(S32 a) {
    return largest(S16{_mm256_max_epu16(_mm512_castsi512_si256(a.v), _mm512_extracti64x4_epi64(a.v, 1))});
}
// (a · b + 2^14) >> 15
inline S16 multiply_high(S16 a, S16 b) { return {_mm256_mulhrs_epi16(a.v, b.v)}; }
inline S32 multiply_high(S32 a, S32 b) { return {_mm512_mulhrs_epi16(a.v, b.v)}; }

// Two groups' or one group's numbers side by side in pairs, and sums of 32 bits of them, each in two registers.
template <class V> struct Wide;
template <> struct Wide<S16> {
    __m256i low, high;
};
template <> struct Wide<S32> {
    __m512i low, high;
};
inline Wide<S16> in_pairs(S16 a, S16 b) {
    return {_mm256_unpacklo_epi16(a.v, b.v), _mm256_unpackhi_epi16(a.v, b.v)};
}
inline Wide<S32> in_pairs(S32 a, S32 b) {
    return {_mm512_unpacklo_epi16(a.v, b.v), _mm512_unpackhi_epi16(a.v, b.v)};
}
inline int32_t pair_of(int first, int second) { return static_cast<int32_t>(uint32_t(second) << 16 | uint16_t(first)); }
#ifdef __AVX512VNNI__
inline __m256i add_products(__m256i sum, __m256i a, __m256i b) { return _mm256_dpwssd_epi32(sum, a, b); }
inline __m512i add_products(__m512i sum, __m512i a, __m512i b) { return _mm512_dpwssd_epi32(sum, a, b); }
#else
inline __m256i add_products(__m256i sum, __m256i a, __m256i b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
inline __m512i add_products(__m512i sum, __m512i a, __m512i b) { return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)); }
#endif
// first · a + second · b, of pairs (a, b), plus `sum`.
inline Wide<S16> dot(Wide<S16> sum, Wide<S16> pairs, int first, int second) {
    const __m256i both = _mm256_set1_epi32(pair_of(first, second));
    return {add_products(sum.low, pairs.low, both), add_products(sum.high, pairs.high, both)};
}
inline Wide<S32> dot(Wide<S32> sum, Wide<S32> pairs, int first, int second) {
    const __m512i both = _mm512_set1_epi32(pair_of(first, second));
    return {add_products(sum.low, pairs.low, both), add_products(sum.high, pairs.high, both)};
}
template <class V> Wide<V> wide(int32_t x);
template <> inline Wide<S16> wide<S16>(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
template <> inline Wide<S32> wide<S32>(int32_t x) { return {_mm512_set1_epi32(x), _mm512_set1_epi32(x)}; }
inline Wide<S16> operator+(Wide<S16> a, Wide<S16> b) {
    return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
inline Wide<S32> operator+(Wide<S32> a, Wide<S32> b) {
    return {_mm512_add_epi32(a.low, b.low), _mm512_add_epi32(a.high, b.high)};
}
inline Wide<S16> operator-(Wide<S16> a, Wide<S16> b) {
    return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
}
inline Wide<S32> operator-(Wide<S32> a, Wide<S32> b) {
    return {_mm512_sub_epi32(a.low, b.low), _mm512_sub_epi32(a.high, b.high)};
}
// Shifted right by N, and held within 16 bits.
template <int N> inline S16 narrowed(Wide<S16> a) {
    return {_mm256_packs_epi32(_mm256_srai_epi32(a.low, N), _mm256_srai_epi32(a.high, N))};
}
template <int N> inline S32 narrowed(Wide<S32> a) {
    return {_mm512_packs_epi32(_mm512_srai_epi32(a.low, N), _mm512_srai_epi32(a.high, N))};
}

// Products of a broadcast operand of four bytes (one float, or two smaller numbers) with 16 columns.
struct Float32Product {
    static constexpr int most_columns = 4;
    using Accumulator = __m512;
    using Result = float;
    static constexpr bool flushes = false;
    static Accumulator zero() { return _mm512_setzero_ps(); }
    static __m512 operand(const char* p) { return _mm512_set1_ps(*reinterpret_cast<const float*>(p)); }
    static __m512 columns(const char* p) { return _mm512_loadu_ps(p); }
    static Accumulator add(Accumulator sum, __m512 a, __m512 b) { return _mm512_fmadd_ps(a, b, sum); }
    static Accumulator held(const Result* p) { return _mm512_loadu_ps(p); }
    static void put(Result* p, Accumulator sum) { _mm512_storeu_ps(p, sum); }
};

#ifdef __AVX512BF16__
struct Bfloat16Product {
    static constexpr int most_columns = 4;
    using Accumulator = __m512;
    using Result = float;
    static constexpr bool flushes = false;
    static Accumulator zero() { return _mm512_setzero_ps(); }
    static __m512i operand(const char* p) { return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(p)); }
    static __m512i columns(const char* p) { return _mm512_loadu_si512(p); }
    static Accumulator add(Accumulator sum, __m512i a, __m512i b) {
        return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
    }
    static Accumulator held(const Result* p) { return _mm512_loadu_ps(p); }
    static void put(Result* p, Accumulator sum) { _mm512_storeu_ps(p, sum); }
};
#define U2FORGE_BFLOAT16 1
#endif

#ifdef __AVX512VNNI__
// Sums saturate at 32 bits.
struct Int16Product {
    static constexpr int most_columns = 4;
    using Accumulator = __m512i;
    using Result = int32_t;
    static constexpr bool flushes = false;
    static Accumulator zero() { return _mm512_setzero_si512(); }
    static __m512i operand(const char* p) { return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(p)); }
    static __m512i columns(const char* p) { return _mm512_loadu_si512(p); }
    static Accumulator add(Accumulator sum, __m512i a, __m512i b) { return _mm512_dpwssds_epi32(sum, a, b); }
    static Accumulator held(const Result* p) { return _mm512_loadu_si512(p); }
    static void put(Result* p, Accumulator sum) { _mm512_storeu_si512(p, sum); }
};
#else
// g++ moves all multiplications of a step before its additions, and then has too few registers.
inline void keep_order(__m512i& x) {
#if defined(__GNUC__)
    asm volatile("" : "+v"(x));
#endif
}

// Sums would wrap: they go to a float before they can.
struct Int16Product {
    static constexpr int most_columns = 4;
    using Accumulator = __m512i;
    using Result = float;
    static constexpr bool flushes = true;
    static Accumulator zero() { return _mm512_setzero_si512(); }
    static __m512i operand(const char* p) { return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(p)); }
    static __m512i columns(const char* p) { return _mm512_loadu_si512(p); }
    static Accumulator add(Accumulator sum, __m512i a, __m512i b) {
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
        keep_order(sum);
        return sum;
    }
    static void put(Result* p, Accumulator sum) { _mm512_storeu_ps(p, _mm512_cvtepi32_ps(sum)); }
    static void put_more(Result* p, Accumulator sum) {
        _mm512_storeu_ps(p, _mm512_add_ps(_mm512_loadu_ps(p), _mm512_cvtepi32_ps(sum)));
    }
};
#endif

}  // namespace u2forge::U2FORGE_LEVEL
