// How each precision stores channels, transformed tiles and sums; and where a group of a blocked tensor lies.
#pragma once

#include <type_traits>

#include "kernels.h"

// Before a loop of few rounds over an array that is to stay in registers.
#if defined(__GNUC__) || defined(__clang__)
#define U2FORGE_UNROLL _Pragma("GCC unroll 16")
#else
#define U2FORGE_UNROLL
#endif
// Before those of transforms.
#ifndef U2FORGE_UNROLL_TILES
#define U2FORGE_UNROLL_TILES U2FORGE_UNROLL
#endif

namespace u2forge::U2FORGE_LEVEL {

struct Float32 {
    using Channel = float;
    using Product = Float32Product;
    using Transformed = float;
};
#ifdef U2FORGE_BFLOAT16
struct Bfloat16 {
    using Channel = float;
    using Product = Bfloat16Product;
    using Transformed = uint16_t;
};
#endif
struct Int16 {
    using Channel = int16_t;
    using Product = Int16Product;
    using Transformed = int16_t;
};

template <class Channel> constexpr int groups_of_block = 64 / (kGroup * static_cast<int>(sizeof(Channel)));

template <class Channel> inline Channel* pixel(const Blocked& b, int image, int group, int y, int x) {
    const int g = b.first + group;
    char* p = b.data + image * b.image + (g / groups_of_block<Channel>)*b.block + y * b.row + ptrdiff_t{x} * 64;
    return reinterpret_cast<Channel*>(p) + (g % groups_of_block<Channel>)*kGroup;
}

template <class V> using IfReal = std::enable_if_t<V::real>;
template <class V> using IfLevels = std::enable_if_t<!V::real>;

// By the vector that is wanted.
template <class Number> inline F16 load(const Number* p, F16) { return load(p); }
template <class V> inline std::enable_if_t<!V::real, V> load(const int16_t* p, V) { return load_levels<V>(p); }
inline F16 broadcast(float x, F16) { return broadcast(x); }

// A vector of channels to memory, by the type that is stored.
template <class V> inline IfReal<V> put(float* p, V a) { store(p, a); }
inline void put(uint16_t* p, F16 a) { store_bfloat16(p, a); }
template <class V> inline void put(int16_t* p, V a) { store_levels(p, a); }

inline void prefetch(const char* p) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(p);
#else
    (void)p;
#endif
}

// Into the second cache.
inline void prefetch_far(const char* p) {
#if defined(__GNUC__) || defined(__clang__)
    __builtin_prefetch(p, 0, 2);
#else
    (void)p;
#endif
}

// Calls one(group) for single groups and pair(group) for two that lie in one block.
template <class Channel, class One, class Pair>
inline void each_group(const Blocked& b, int first, int count, One one, Pair pair) {
    for (int g = first; g < first + count;) {
        if (groups_of_block<Channel> == 2 && (b.first + g) % 2 == 0 && g + 1 < first + count) {
            pair(g);
            g += 2;
        } else {
            one(g);
            g += 1;
        }
    }
}

}  // namespace u2forge::U2FORGE_LEVEL
