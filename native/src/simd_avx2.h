// Vectors of 16 channels on AVX2: pairs of 256-bit registers.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace u2forge::U2FORGE_LEVEL {

// 16 registers: 6 rows of one column vector, which is two of them, or 3 rows of two. 16 bits take two vectors: fewer
// instructions for as many products, 4 % less time where others share the core. Float32 loses as much by it.
template <int Columns> constexpr int rows_of_product = Columns == 2 ? 3 : 6;
// Of one vector 8 KB, of two 16.
constexpr int steps_of_panel = 128;
constexpr bool fetches_weights = true;  // a fifth of the time of layers whose weights no cache holds

struct F16 {
    static constexpr bool real = true;
    static constexpr int count = 16;
    __m256 a, b;
};
inline F16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, F16 x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
inline F16 broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F16 operator+(F16 x, F16 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline F16 operator-(F16 x, F16 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline F16 operator*(F16 x, F16 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline F16 fma(F16 x, F16 y, F16 z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
inline F16 max(F16 x, F16 y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline float sum(F16 x) {
    const __m256 eight = _mm256_add_ps(x.a, x.b);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

struct F8 {
    static constexpr bool real = true;
    static constexpr int count = 8;
    __m256 v;
};
inline F8 load(const float* p, F8) { return {_mm256_loadu_ps(p)}; }
inline F8 load(const int32_t* p, F8) { return {_mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i*)p))}; }
inline F8 load(const int16_t* p, F8) {
    return {_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i*)p)))};
}
inline F8 broadcast(float x, F8) { return {_mm256_set1_ps(x)}; }
inline F8 operator+(F8 x, F8 y) { return {_mm256_add_ps(x.v, y.v)}; }
inline F8 operator-(F8 x, F8 y) { return {_mm256_sub_ps(x.v, y.v)}; }
inline F8 fma(F8 x, F8 y, F8 z) { return {_mm256_fmadd_ps(x.v, y.v, z.v)}; }
inline F8 max(F8 x, F8 y) { return {_mm256_max_ps(x.v, y.v)}; }
inline void store(float* p, F8 x) { _mm256_storeu_ps(p, x.v); }

inline F16 load(const int32_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i*)p)),
            _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i*)(p + 8)))};
}
inline F16 load(const int16_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i*)p))),
            _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i*)(p + 8))))};
}
inline __m256i levels_of(__m256 x) {
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(x, _mm256_setzero_ps()), _mm256_set1_ps(4095.0f)));
}
// Rounded to the nearest level, even at ties, and held within [0, 4095]. Clamped first: a huge float would become
// the smallest integer.
inline void store(int16_t* p, F16 x) {
    const __m256i mixed = _mm256_packs_epi32(levels_of(x.a), levels_of(x.b));
    _mm256_storeu_si256((__m256i*)p, _mm256_permute4x64_epi64(mixed, 0xd8));
}
inline void store(int16_t* p, F8 x) {
    const __m256i levels = levels_of(x.v);
    const __m128i eight = _mm_packs_epi32(_mm256_castsi256_si128(levels), _mm256_extracti128_si256(levels, 1));
    _mm_storeu_si128((__m128i*)p, eight);
}
inline __m256i bfloat16_bits(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
}
inline void store_bfloat16(uint16_t* p, F16 x) {
    const __m256i mixed = _mm256_packus_epi32(bfloat16_bits(x.a), bfloat16_bits(x.b));
    _mm256_storeu_si256((__m256i*)p, _mm256_permute4x64_epi64(mixed, 0xd8));
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
    __m256i a, b;
};
// What transforms work on: of more, six rows of a tile would be too many for 16 registers.
using LevelsAtOnce = S16;
using FloatsAtOnce = F8;
template <class V> V load_levels(const int16_t* p);
template <> inline S16 load_levels<S16>(const int16_t* p) { return {_mm256_loadu_si256((const __m256i*)p)}; }
template <> inline S32 load_levels<S32>(const int16_t* p) {
    return {_mm256_loadu_si256((const __m256i*)p), _mm256_loadu_si256((const __m256i*)(p + 16))};
}
template <class V> V broadcast_level(int16_t x);
template <> inline S16 broadcast_level<S16>(int16_t x) { return {_mm256_set1_epi16(x)}; }
template <> inline S32 broadcast_level<S32>(int16_t x) { return {_mm256_set1_epi16(x), _mm256_set1_epi16(x)}; }
inline void store_levels(int16_t* p, S16 x) { _mm256_storeu_si256((__m256i*)p, x.v); }
inline void store_levels(int16_t* p, S32 x) {
    _mm256_storeu_si256((__m256i*)p, x.a);
    _mm256_storeu_si256((__m256i*)(p + 16), x.b);
}
inline S16 operator+(S16 x, S16 y) { return {_mm256_add_epi16(x.v, y.v)}; }
inline S32 operator+(S32 x, S32 y) { return {_mm256_add_epi16(x.a, y.a), _mm256_add_epi16(x.b, y.b)}; }
inline S16 operator-(S16 x, S16 y) { return {_mm256_sub_epi16(x.v, y.v)}; }
inline S32 operator-(S32 x, S32 y) { return {_mm256_sub_epi16(x.a, y.a), _mm256_sub_epi16(x.b, y.b)}; }
template <int N> inline S16 shift_left(S16 x) { return {_mm256_slli_epi16(x.v, N)}; }
template <int N> inline S32 shift_left(S32 x) { return {_mm256_slli_epi16(x.a, N), _mm256_slli_epi16(x.b, N)}; }
template <int N> inline S16 shift_right(S16 x) { return {_mm256_srai_epi16(x.v, N)}; }
template <int N> inline S32 shift_right(S32 x) { return {_mm256_srai_epi16(x.a, N), _mm256_srai_epi16(x.b, N)}; }
inline S16 max(S16 x, S16 y) { return {_mm256_max_epi16(x.v, y.v)}; }
inline S32 max(S32 x, S32 y) { return {_mm256_max_epi16(x.a, y.a), _mm256_max_epi16(x.b, y.b)}; }
// The larger of x and the magnitude of y, without sign: 32768 is one.
inline S16 larger_magnitude(S16 x, S16 y) { return {_mm256_max_epu16(x.v, _mm256_abs_epi16(y.v))}; }
inline S32 larger_magnitude(S32 x, S32 y) {
    return {_mm256_max_epu16(x.a, _mm256_abs_epi16(y.a)), _mm256_max_epu16(x.b, _mm256_abs_epi16(y.b))};
}
// The largest of all, without sign.
inline uint16_t largest(__m256i x) {
    const __m128i eight = _mm_max_epu16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    return static_cast<uint16_t>(~_mm_extract_epi16(_mm_minpos_epu16(_mm_xor_si128(eight, _mm_set1_epi16(-1))), 0));
}
inline uint16_t largest(S16 x) { return largest(x.v); }
inline uint16_t largest(S32 x) { return largest(_mm256_max_epu16(x.a, x.b)); }
// (x · y + 2^14) >> 15
inline S16 multiply_high(S16 x, S16 y) { return {_mm256_mulhrs_epi16(x.v, y.v)}; }
inline S32 multiply_high(S32 x, S32 y) { return {_mm256_mulhrs_epi16(x.a, y.a), _mm256_mulhrs_epi16(x.b, y.b)}; }

// Two groups' or one group's numbers side by side in pairs, and sums of 32 bits of them.
template <class V> struct Wide;
template <> struct Wide<S16> {
    __m256i low, high;
};
template <> struct Wide<S32> {
    Wide<S16> a, b;
};
inline Wide<S16> in_pairs(S16 x, S16 y) {
    return {_mm256_unpacklo_epi16(x.v, y.v), _mm256_unpackhi_epi16(x.v, y.v)};
}
inline Wide<S32> in_pairs(S32 x, S32 y) { return {in_pairs(S16{x.a}, S16{y.a}), in_pairs(S16{x.b}, S16{y.b})}; }
// first · x + second · y, of pairs (x, y), plus `sum`.
inline Wide<S16> dot(Wide<S16> sum, Wide<S16> pairs, int first, int second) {
    const __m256i both = _mm256_set1_epi32(static_cast<int32_t>(uint32_t(second) << 16 | uint16_t(first)));
    return {_mm256_add_epi32(sum.low, _mm256_madd_epi16(pairs.low, both)),
            _mm256_add_epi32(sum.high, _mm256_madd_epi16(pairs.high, both))};
}
inline Wide<S32> dot(Wide<S32> sum, Wide<S32> pairs, int first, int second) {
    return {dot(sum.a, pairs.a, first, second), dot(sum.b, pairs.b, first, second)};
}
template <class V> Wide<V> wide(int32_t x);
template <> inline Wide<S16> wide<S16>(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
template <> inline Wide<S32> wide<S32>(int32_t x) { return {wide<S16>(x), wide<S16>(x)}; }
inline Wide<S16> operator+(Wide<S16> x, Wide<S16> y) {
    return {_mm256_add_epi32(x.low, y.low), _mm256_add_epi32(x.high, y.high)};
}
inline Wide<S32> operator+(Wide<S32> x, Wide<S32> y) { return {x.a + y.a, x.b + y.b}; }
inline Wide<S16> operator-(Wide<S16> x, Wide<S16> y) {
    return {_mm256_sub_epi32(x.low, y.low), _mm256_sub_epi32(x.high, y.high)};
}
inline Wide<S32> operator-(Wide<S32> x, Wide<S32> y) { return {x.a - y.a, x.b - y.b}; }
// Shifted right by N, and held within 16 bits.
template <int N> inline S16 narrowed(Wide<S16> x) {
    return {_mm256_packs_epi32(_mm256_srai_epi32(x.low, N), _mm256_srai_epi32(x.high, N))};
}
template <int N> inline S32 narrowed(Wide<S32> x) { return {narrowed<N>(x.a).v, narrowed<N>(x.b).v}; }

struct Integers {
    __m256i a, b;
};
inline Integers load_integers(const char* p) {
    return {_mm256_loadu_si256((const __m256i*)p), _mm256_loadu_si256((const __m256i*)(p + 32))};
}
inline F16 to_float(Integers x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }

// Products of a broadcast operand of four bytes (one float, or two smaller numbers) with 16 columns.
struct Float32Product {
    static constexpr int most_columns = 1;
    using Accumulator = F16;
    using Result = float;
    static constexpr bool flushes = false;
    static Accumulator zero() { return broadcast(0.0f); }
    static __m256 operand(const char* p) { return _mm256_broadcast_ss(reinterpret_cast<const float*>(p)); }
    static F16 columns(const char* p) { return load(reinterpret_cast<const float*>(p)); }
    static Accumulator add(Accumulator sum, __m256 x, F16 y) {
        return {_mm256_fmadd_ps(x, y.a, sum.a), _mm256_fmadd_ps(x, y.b, sum.b)};
    }
    static Accumulator held(const Result* p) { return load(p); }
    static void put(Result* p, Accumulator sum) { store(p, sum); }
};

#ifdef __AVXVNNI__
// Sums saturate at 32 bits.
struct Int16Product {
    static constexpr int most_columns = 2;
    using Accumulator = Integers;
    using Result = int32_t;
    static constexpr bool flushes = false;
    static Accumulator zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    static __m256i operand(const char* p) { return _mm256_set1_epi32(*reinterpret_cast<const int32_t*>(p)); }
    static Integers columns(const char* p) { return load_integers(p); }
    static Accumulator add(Accumulator sum, __m256i x, Integers y) {
        return {_mm256_dpwssds_avx_epi32(sum.a, x, y.a), _mm256_dpwssds_avx_epi32(sum.b, x, y.b)};
    }
    static Accumulator held(const Result* p) { return load_integers(reinterpret_cast<const char*>(p)); }
    static void put(Result* p, Accumulator sum) {
        _mm256_storeu_si256((__m256i*)p, sum.a);
        _mm256_storeu_si256((__m256i*)(p + 8), sum.b);
    }
};
#else
// Half of a column vector in a register, half used from memory: 12 sums, an operand and products fill the rest.
struct HalfLoaded {
    __m256i a;
    const __m256i* b;
};
#if defined(__GNUC__)
// Assembly: g++ moves multiplications ahead of additions, and then copies sums from register to register.
inline void add_products(__m256i& sum, __m256i x, __m256i y) {
    __m256i products;
    asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(x), "x"(y));
}
inline void add_products(__m256i& sum, __m256i x, const __m256i* y) {
    __m256i products;
    asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(products) : "x"(x), "m"(*y));
}
#else
inline void add_products(__m256i& sum, __m256i x, __m256i y) { sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, y)); }
inline void add_products(__m256i& sum, __m256i x, const __m256i* y) { add_products(sum, x, _mm256_loadu_si256(y)); }
#endif

// Sums would wrap: they go to a float before they can.
struct Int16Product {
    static constexpr int most_columns = 2;
    using Accumulator = Integers;
    using Result = float;
    static constexpr bool flushes = true;
    static Accumulator zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    static __m256i operand(const char* p) { return _mm256_set1_epi32(*reinterpret_cast<const int32_t*>(p)); }
    static HalfLoaded columns(const char* p) {
        const auto* halves = reinterpret_cast<const __m256i*>(p);
        return {_mm256_loadu_si256(halves), halves + 1};
    }
    static Accumulator add(Accumulator sum, __m256i x, HalfLoaded y) {
        add_products(sum.a, x, y.a);
        add_products(sum.b, x, y.b);
        return sum;
    }
    static void put(Result* p, Accumulator sum) { store(p, to_float(sum)); }
    static void put_more(Result* p, Accumulator sum) { store(p, load(p) + to_float(sum)); }
};
#endif

}  // namespace u2forge::U2FORGE_LEVEL
