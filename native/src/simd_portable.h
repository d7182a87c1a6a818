// Vectors of 16 channels in plain C++: what any compiler builds, and the reference of all other kernels.
#pragma once

// No transform stays in registers: unrolled, those of 8×8 take three times as long, and two minutes to compile.
#define U2FORGE_UNROLL_TILES

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace u2forge::U2FORGE_LEVEL {

template <int Columns> constexpr int rows_of_product = 2;
constexpr int steps_of_panel = 32;
constexpr bool fetches_weights = false;

struct F16 {
    static constexpr bool real = true;
    static constexpr int count = 16;
    float v[16];
};
template <class Function> inline F16 each(Function f) {
    F16 r;
    for (int i = 0; i < 16; ++i) r.v[i] = f(i);
    return r;
}
inline F16 load(const float* p) {
    return each([&](int i) { return p[i]; });
}
inline void store(float* p, F16 a) { std::memcpy(p, a.v, sizeof a.v); }
inline F16 broadcast(float x) {
    return each([&](int) { return x; });
}
inline F16 operator+(F16 a, F16 b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline F16 operator-(F16 a, F16 b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline F16 operator*(F16 a, F16 b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline F16 fma(F16 a, F16 b, F16 c) {
    return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline F16 max(F16 a, F16 b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline float sum(F16 a) {
    float total = 0;
    for (float x : a.v) total += x;
    return total;
}
inline F16 load(const int32_t* p) {
    return each([&](int i) { return static_cast<float>(p[i]); });
}
inline F16 load(const int16_t* p) {
    return each([&](int i) { return static_cast<float>(p[i]); });
}
// Rounded to the nearest level, even at ties, and held within [0, 4095].
inline void store(int16_t* p, F16 a) {
    for (int i = 0; i < 16; ++i) {
        const float low = a.v[i] > 0.0f ? a.v[i] : 0.0f;
        p[i] = static_cast<int16_t>(std::nearbyint(low < 4095.0f ? low : 4095.0f));
    }
}
inline void store_bfloat16(uint16_t* p, F16 a) {
    for (int i = 0; i < 16; ++i) {
        uint32_t bits;
        std::memcpy(&bits, &a.v[i], 4);
        p[i] = static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
    }
}

// Integers of 16 bits, of one group (S16) or of two (S32); sums wrap.
template <int Count> struct Levels {
    static constexpr bool real = false;
    static constexpr int count = Count;
    int16_t v[count];
};
using S16 = Levels<16>;
using S32 = Levels<32>;
template <int G, class Function> inline Levels<G> each_level(Function f) {
    Levels<G> r;
    for (int i = 0; i < Levels<G>::count; ++i) r.v[i] = static_cast<int16_t>(static_cast<uint16_t>(f(i)));
    return r;
}
// What transforms work on.
using LevelsAtOnce = S32;
using FloatsAtOnce = F16;
template <class V> inline V load_levels(const int16_t* p) {
    return each_level<V::count>([&](int i) { return p[i]; });
}
template <class V> inline V broadcast_level(int16_t x) {
    return each_level<V::count>([&](int) { return x; });
}
template <int G> inline void store_levels(int16_t* p, Levels<G> a) { std::memcpy(p, a.v, sizeof a.v); }
template <int G> inline Levels<G> operator+(Levels<G> a, Levels<G> b) {
    return each_level<G>([&](int i) { return a.v[i] + b.v[i]; });
}
template <int G> inline Levels<G> operator-(Levels<G> a, Levels<G> b) {
    return each_level<G>([&](int i) { return a.v[i] - b.v[i]; });
}
template <int N, int G> inline Levels<G> shift_left(Levels<G> a) {
    return each_level<G>([&](int i) { return a.v[i] * (1 << N); });
}
template <int N, int G> inline Levels<G> shift_right(Levels<G> a) {
    return each_level<G>([&](int i) { return a.v[i] >> N; });
}
template <int G> inline Levels<G> max(Levels<G> a, Levels<G> b) {
    return each_level<G>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
// (a · b + 2^14) >> 15
template <int G> inline Levels<G> multiply_high(Levels<G> a, Levels<G> b) {
    return each_level<G>([&](int i) { return (int32_t{a.v[i]} * b.v[i] + (1 << 14)) >> 15; });
}

// Numbers side by side in pairs, and sums of 32 bits.
template <class V> struct PairsOf {
    V a, b;
};
template <class V> struct Wide {
    int32_t v[V::count];
};
template <class V> inline PairsOf<V> in_pairs(V a, V b) { return {a, b}; }
template <class V> inline Wide<V> wide(int32_t x) {
    Wide<V> r;
    for (int32_t& each : r.v) each = x;
    return r;
}
// first · a + second · b, of pairs (a, b), plus `sum`.
template <class V> inline Wide<V> dot(Wide<V> sum, PairsOf<V> pairs, int first, int second) {
    for (int i = 0; i < V::count; ++i) sum.v[i] += first * pairs.a.v[i] + second * pairs.b.v[i];
    return sum;
}
template <class V> inline Wide<V> operator+(Wide<V> a, Wide<V> b) {
    for (int i = 0; i < V::count; ++i) a.v[i] += b.v[i];
    return a;
}
template <class V> inline Wide<V> operator-(Wide<V> a, Wide<V> b) {
    for (int i = 0; i < V::count; ++i) a.v[i] -= b.v[i];
    return a;
}
// Shifted right by N, and held within 16 bits.
template <int N, class V> inline V narrowed(Wide<V> a) {
    return each_level<V::count>([&](int i) {
        const int32_t x = a.v[i] >> N;
        return x > INT16_MAX ? INT16_MAX : x < INT16_MIN ? INT16_MIN : x;
    });
}

struct Float32Product {
    static constexpr int most_columns = 1;
    using Accumulator = F16;
    using Result = float;
    static constexpr bool flushes = false;
    static Accumulator zero() { return broadcast(0.0f); }
    static float operand(const char* p) {
        float x;
        std::memcpy(&x, p, 4);
        return x;
    }
    static F16 columns(const char* p) { return load(reinterpret_cast<const float*>(p)); }
    static Accumulator add(Accumulator sum, float a, F16 b) { return fma(broadcast(a), b, sum); }
    static Accumulator held(const Result* p) { return load(p); }
    static void put(Result* p, Accumulator sum) { store(p, sum); }
};

struct Pairs {
    uint16_t v[32];
};
struct Pair {
    uint16_t v[2];
};
inline Pairs load_pairs(const char* p) {
    Pairs r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
}
inline Pair load_pair(const char* p) {
    Pair r;
    std::memcpy(r.v, p, sizeof r.v);
    return r;
}

struct Bfloat16Product {
    static constexpr int most_columns = 1;
    using Accumulator = F16;
    using Result = float;
    static constexpr bool flushes = false;
    static Accumulator zero() { return broadcast(0.0f); }
    static float widened(uint16_t x) {
        const uint32_t bits = uint32_t{x} << 16;
        float r;
        std::memcpy(&r, &bits, 4);
        return r;
    }
    static Pair operand(const char* p) { return load_pair(p); }
    static Pairs columns(const char* p) { return load_pairs(p); }
    static Accumulator add(Accumulator sum, Pair a, const Pairs& b) {
        return each([&](int i) {
            return sum.v[i] + widened(a.v[0]) * widened(b.v[2 * i]) + widened(a.v[1]) * widened(b.v[2 * i + 1]);
        });
    }
    static Accumulator held(const Result* p) { return load(p); }
    static void put(Result* p, Accumulator sum) { store(p, sum); }
};
#define U2FORGE_BFLOAT16 1

// Sums saturate at 32 bits, after each pair.
struct Int16Product {
    static constexpr int most_columns = 1;
    struct Accumulator {
        int32_t v[16];
    };
    using Result = int32_t;
    static constexpr bool flushes = false;
    static Accumulator zero() { return {}; }
    static Pair operand(const char* p) { return load_pair(p); }
    static Pairs columns(const char* p) { return load_pairs(p); }
    static int64_t product(uint16_t a, uint16_t b) {
        return int64_t{static_cast<int16_t>(a)} * static_cast<int16_t>(b);
    }
    static Accumulator add(Accumulator sum, Pair a, const Pairs& b) {
        for (int i = 0; i < 16; ++i) {
            const int64_t exact = sum.v[i] + product(a.v[0], b.v[2 * i]) + product(a.v[1], b.v[2 * i + 1]);
            sum.v[i] = static_cast<int32_t>(exact > INT32_MAX ? INT32_MAX : exact < INT32_MIN ? INT32_MIN : exact);
        }
        return sum;
    }
    static Accumulator held(const Result* p) {
        Accumulator sum;
        std::memcpy(sum.v, p, sizeof sum.v);
        return sum;
    }
    static void put(Result* p, Accumulator sum) { std::memcpy(p, sum.v, sizeof sum.v); }
};

}  // namespace u2forge::U2FORGE_LEVEL
