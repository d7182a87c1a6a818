// Winograd's transforms of F(4×4, 3×3) and F(6×6, 3×3): tiles of pixels to BᵀdB, and sums of products M to AᵀMA and to
// memory. Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), section 4.3; the larger
// one by the same construction from the points 0, ±1, ±2, ±1/2 and infinity.
#pragma once

#include "kernel_types.h"

namespace u2forge::U2FORGE_LEVEL {

constexpr ptrdiff_t kPixel = 64;  // bytes
template <class Channel> inline Channel* next(Channel* p, ptrdiff_t bytes) {
    return reinterpret_cast<Channel*>(reinterpret_cast<char*>(p) + bytes);
}
template <class Channel> inline const Channel* next(const Channel* p, ptrdiff_t bytes) {
    return reinterpret_cast<const Channel*>(reinterpret_cast<const char*>(p) + bytes);
}

struct Small {
    static constexpr int tile = kSmallTiles.tile, step = kSmallTiles.step;
};
struct Large {
    static constexpr int tile = kLargeTiles.tile, step = kLargeTiles.step;
};

// Bᵀ times the values of a row or column, by their number.
template <class V> inline IfReal<V> input_rows(const V (&d)[6], V (&t)[6]) {
    const V four = broadcast(4.0f, V{}), minus_four = broadcast(-4.0f, V{}), minus_five = broadcast(-5.0f, V{});
    const V two = broadcast(2.0f, V{}), minus_two = broadcast(-2.0f, V{});
    const V even = fma(minus_four, d[2], d[4]), odd = fma(minus_four, d[1], d[3]);
    const V f = d[4] - d[2], g = d[3] - d[1];
    t[0] = fma(four, d[0], fma(minus_five, d[2], d[4]));
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = fma(two, g, f);
    t[4] = fma(minus_two, g, f);
    t[5] = fma(four, d[1], fma(minus_five, d[3], d[5]));
}

template <class V> inline IfReal<V> input_rows(const V (&d)[8], V (&t)[8]) {
    const auto times = [](float factor, V x, V sum) { return fma(broadcast(factor, V{}), x, sum); };
    const V ones_even = times(-4.25f, d[4], d[2] + d[6]), ones_odd = times(-4.25f, d[3], d[1] + d[5]);
    const V twos_even = times(0.25f, d[2], times(-1.25f, d[4], d[6])), twos_odd = times(4.0f, d[5], times(-5.0f, d[3], d[1]));
    const V halves_even = times(4.0f, d[2], times(-5.0f, d[4], d[6]));
    const V halves_odd = times(4.0f, d[1], times(-5.0f, d[3], d[5]));
    t[0] = times(5.25f, d[4] - d[2], d[0] - d[6]);
    t[1] = ones_even + ones_odd;
    t[2] = ones_even - ones_odd;
    t[3] = times(0.5f, twos_odd, twos_even);
    t[4] = times(-0.5f, twos_odd, twos_even);
    t[5] = times(0.5f, halves_odd, halves_even);
    t[6] = times(-0.5f, halves_odd, halves_even);
    t[7] = times(5.25f, d[3] - d[5], d[7] - d[1]);
}

// Six in 16 bits: what wraps on the way unwraps, as the results fit.
template <class V> inline IfLevels<V> input_rows(const V (&d)[6], V (&t)[6]) {
    const V even = d[4] - shift_left<2>(d[2]), odd = d[3] - shift_left<2>(d[1]);
    const V f = d[4] - d[2], g = d[3] - d[1], twice = shift_left<1>(g);
    t[0] = shift_left<2>(d[0]) + (even - d[2]);
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = f + twice;
    t[4] = f - twice;
    t[5] = (d[5] - d[3]) - shift_left<1>(twice);
}

// The second pass of levels, in 32 bits, shifted right by kShift, by one less in each of rows and columns 3 and 4, and held
// within 16 bits. src/u2forge/native/int16_scales.py says which patterns can saturate.
constexpr int kShift = 3;

template <int Shift, class V> inline IfLevels<V> rounded_rows(const V (&d)[6], V (&t)[6]) {
    const auto outer = in_pairs(d[0], d[5]), odd = in_pairs(d[1], d[3]), even = in_pairs(d[2], d[4]);
    constexpr int fine = Shift - 1;
    const Wide<V> none = wide<V>(0), half = wide<V>(1 << Shift >> 1), fine_half = wide<V>(1 << fine >> 1);
    const Wide<V> e = dot(half, even, -4, 1), o = dot(none, odd, -4, 1);
    const Wide<V> f = dot(fine_half, even, -1, 1), g = dot(none, odd, -2, 2);
    t[0] = narrowed<Shift>(dot(dot(half, even, -5, 1), outer, 4, 0));
    t[1] = narrowed<Shift>(e + o);
    t[2] = narrowed<Shift>(e - o);
    t[3] = narrowed<fine>(f + g);
    t[4] = narrowed<fine>(f - g);
    t[5] = narrowed<Shift>(dot(dot(half, odd, 4, -5), outer, 0, 1));
}
template <int Shift, class V, int Tile> inline IfReal<V> rounded_rows(const V (&d)[Tile], V (&t)[Tile]) { input_rows(d, t); }

// Tracked: `largest` of each row is raised to the largest magnitude that is stored.
template <bool Tracked, class Transformed, class V, int Tile>
inline void transform_tile(const V (&d)[Tile][Tile], char* out, ptrdiff_t position, V (&largest_of_row)[Tile]) {
    V half[Tile][Tile];  // [i][x]
    U2FORGE_UNROLL_TILES
    for (int x = 0; x < Tile; ++x) {
        V column[Tile], t[Tile];
        U2FORGE_UNROLL_TILES
        for (int y = 0; y < Tile; ++y) column[y] = d[y][x];
        input_rows(column, t);
        U2FORGE_UNROLL_TILES
        for (int i = 0; i < Tile; ++i) half[i][x] = t[i];
    }
    U2FORGE_UNROLL_TILES
    for (int i = 0; i < Tile; ++i) {
        V t[Tile];
        if (i == 3 || i == 4) rounded_rows<kShift - 1>(half[i], t);
        else rounded_rows<kShift>(half[i], t);
        U2FORGE_UNROLL_TILES
        for (int j = 0; j < Tile; ++j)
            put(reinterpret_cast<Transformed*>(out + (i * Tile + j) * position), t[j]);
        if constexpr (Tracked) {
            V most = largest_of_row[i];
            U2FORGE_UNROLL_TILES
            for (int j = 0; j < Tile; ++j) most = larger_magnitude(most, t[j]);
            largest_of_row[i] = most;
        }
    }
}

template <class P, class Tiles> void transform_input(const TransformInput& a) {
    using Channel = typename P::Channel;
    using Transformed = typename P::Transformed;
    constexpr int kTile = Tiles::tile, kStep = Tiles::step;
    const Blocked& b = *a.source;
    const int per_image = a.tiles_x * a.tiles_y;
    // `times` vectors of one type after the other in each pixel.
    auto groups = [&](auto zero, int group, int times) {
        using V = decltype(zero);
        constexpr bool tracked = P::Product::flushes;
        V largest_of_row[kTile];
        if constexpr (tracked)
            for (V& row : largest_of_row) row = broadcast_level<V>(0);
        for (int t = 0; t < a.tiles; ++t) {
            const int tile = a.first_tile + t, image = tile / per_image, place = tile % per_image;
            const int y = place / a.tiles_x * kStep - 1, x = place % a.tiles_x * kStep - 1;
            const Channel* p = pixel<Channel>(b, image, group, y, x);
            // The next tile's pixels, but for the two columns that this one has, too.
            U2FORGE_UNROLL_TILES
            for (int i = 0; i < kTile; ++i)
                for (int j = kTile; j < kTile + kStep; ++j) prefetch(reinterpret_cast<const char*>(p) + i * b.row + j * 64);
            for (int part = 0; part < times; ++part) {
                V d[kTile][kTile];
                U2FORGE_UNROLL_TILES
                for (int i = 0; i < kTile; ++i)
                    U2FORGE_UNROLL_TILES
                    for (int j = 0; j < kTile; ++j)
                        d[i][j] = load(next(p + part * V::count, i * b.row + j * kPixel), V{});
                transform_tile<tracked, Transformed>(
                    d, a.transformed + t * a.row + (group * kGroup + part * V::count) * static_cast<int>(sizeof(Transformed)),
                    a.position, largest_of_row);
            }
        }
        if constexpr (tracked)
            for (int i = 0; i < kTile; ++i) {
                const uint16_t most = largest(largest_of_row[i]);
                if (most > a.largest[i]) a.largest[i] = most;
            }
    };
    if constexpr (groups_of_block<Channel> == 2)
        each_group<Channel>(
            b, a.first_group, a.groups, [&](int g) { groups(S16{}, g, 1); },
            [&](int g) { groups(LevelsAtOnce{}, g, 2 * kGroup / LevelsAtOnce::count); });
    else
        for (int g = a.first_group; g < a.first_group + a.groups; ++g)
            groups(FloatsAtOnce{}, g, kGroup / FloatsAtOnce::count);
}

// Transformed weights of 16 bits are scaled, so that those of all positions are of like size: rows and columns 3 and 4 by
// kInner, 5 by kLast.
constexpr float kInner = 2.0f, kLast = 0.25f;

// Aᵀ times six values, where Scaled the fourth and fifth of them kInner times too large, the last kLast times.
template <bool Scaled, class V> inline void output_rows(const V (&m)[6], V (&o)[4]) {
    constexpr float inner = Scaled ? kInner : 1.0f, last = Scaled ? kLast : 1.0f;
    const V s = m[1] + m[2], d = m[1] - m[2], s2 = m[3] + m[4], d2 = m[3] - m[4];
    o[0] = fma(broadcast(1 / inner, V{}), s2, m[0] + s);
    o[1] = fma(broadcast(2 / inner, V{}), d2, d);
    o[2] = fma(broadcast(4 / inner, V{}), s2, s);
    o[3] = fma(broadcast(1 / last, V{}), m[5], fma(broadcast(8 / inner, V{}), d2, d));
}

template <bool Scaled, class V> inline void output_rows(const V (&m)[8], V (&o)[6]) {
    static_assert(!Scaled);
    const auto times = [](float factor, V x, V sum) { return fma(broadcast(factor, V{}), x, sum); };
    const V s = m[1] + m[2], d = m[1] - m[2], s2 = m[3] + m[4], d2 = m[3] - m[4], half_s = m[5] + m[6], half_d = m[5] - m[6];
    o[0] = (m[0] + s) + (s2 + half_s);
    o[1] = times(2, d2, times(1.0f / 2, half_d, d));
    o[2] = times(4, s2, times(1.0f / 4, half_s, s));
    o[3] = times(8, d2, times(1.0f / 8, half_d, d));
    o[4] = times(16, s2, times(1.0f / 16, half_s, s));
    o[5] = times(32, d2, times(1.0f / 32, half_d, d + m[7]));
}

// What is done to the sums of some channels on their way to memory. Of 16-bit levels, `store` rectifies by itself where
// nothing is added.
template <class Channel, class V> struct Finish {
    static constexpr bool multiplied = sizeof(Channel) == 2;
    V multiplier, addend, residual_multiplier;
    Finish(const Epilogue& e, int channel) {
        addend = load(e.addend + channel, V{});
        if constexpr (multiplied) {
            multiplier = load(e.multiplier + channel, V{});
            residual_multiplier = e.residual.data ? load(e.residual_multiplier + channel, V{}) : multiplier;
        }
    }
    V scaled(V sum) const {
        if constexpr (multiplied) return fma(sum, multiplier, addend);
        else return sum + addend;
    }
    V operator()(V sum) const {
        if constexpr (multiplied) return scaled(sum);
        else return max(scaled(sum), broadcast(0.0f, V{}));
    }
    V operator()(V sum, const Channel* residual) const {
        const V rectified = max(scaled(sum), broadcast(0.0f, V{}));
        if constexpr (multiplied) return fma(load(residual, V{}), residual_multiplier, rectified);
        else return rectified + load(residual, V{});
    }
};

// AᵀM's rows, finished and stored: `rows` and `columns` of the tile lie in the image. Whole: all of it.
template <bool Whole, bool Added, bool Pooled, class Channel, class V, int Step, int Tile>
inline void put_tile(const V (&half)[Step][Tile], const Finish<Channel, V>& finish, Channel* to, ptrdiff_t row,
                     const Channel* residual, ptrdiff_t residual_row, Channel* pooled, ptrdiff_t pooled_row, int rows,
                     int columns) {
    const V none = broadcast(0.0f, V{});
    V above[Step / 2];
    U2FORGE_UNROLL_TILES
    for (int i = 0; i < Step; ++i) {
        if (!Whole && i >= rows) break;
        V o[Step];
        output_rows<Finish<Channel, V>::multiplied>(half[i], o);
        U2FORGE_UNROLL_TILES
        for (int j = 0; j < Step; ++j) {
            if (!Whole && j >= columns) {
                // Right of the image there is nothing, and no value is negative.
                o[j] = none;
                continue;
            }
            if constexpr (Added) o[j] = finish(o[j], next(residual, i * residual_row + j * kPixel));
            else o[j] = finish(o[j]);
            store(next(to, i * row + j * kPixel), o[j]);
        }
        if constexpr (Pooled) {
            const bool upper = i % 2 == 0, last = upper && !Whole && i + 1 == rows;
            U2FORGE_UNROLL_TILES
            for (int j = 0; j < Step; j += 2) {
                const V pair = upper ? max(o[j], o[j + 1]) : max(above[j / 2], max(o[j], o[j + 1]));
                above[j / 2] = pair;
                if ((!upper || last) && (Whole || j < columns)) store(next(pooled, i / 2 * pooled_row + j / 2 * kPixel), pair);
            }
        }
    }
}

template <class P, class Tiles, bool Added, bool Pooled> void put_tiles(const TransformOutput& a) {
    constexpr int kTile = Tiles::tile, kStep = Tiles::step;
    using Channel = typename P::Channel;
    using Result = typename P::Product::Result;
    using V = FloatsAtOnce;
    const Blocked &target = *a.target, &residual = a.epilogue.residual, &pooled = a.epilogue.pooled;
    const int per_image = a.tiles_x * a.tiles_y;
    for (int g = 0; g < a.groups; ++g)
        for (int t = 0; t < a.tiles; ++t) {
            const int tile = a.first_tile + t, image = tile / per_image, place = tile % per_image;
            const int y = place / a.tiles_x * kStep, x = place % a.tiles_x * kStep, group = a.first_group + g;
            const int rows = target.height - y < kStep ? target.height - y : kStep;
            const int columns = target.width - x < kStep ? target.width - x : kStep;
            for (int part = 0; part < kGroup; part += V::count) {
                const Finish<Channel, V> finish(a.epilogue, group * kGroup + part);
                const char* m = a.products + t * a.row + (g * kGroup + part) * 4;
                V half[kStep][kTile];  // [y][j]
                U2FORGE_UNROLL_TILES
                for (int j = 0; j < kTile; ++j) {
                    V column[kTile], o[kStep];
                    U2FORGE_UNROLL_TILES
                    for (int i = 0; i < kTile; ++i)
                        column[i] = load(reinterpret_cast<const Result*>(m + (i * kTile + j) * a.position), V{});
                    output_rows<Finish<Channel, V>::multiplied>(column, o);
                    U2FORGE_UNROLL_TILES
                    for (int i = 0; i < kStep; ++i) half[i][j] = o[i];
                }
                Channel* to = pixel<Channel>(target, image, group, y, x) + part;
                const Channel* add = Added ? pixel<Channel>(residual, image, group, y, x) + part : nullptr;
                Channel* small = Pooled ? pixel<Channel>(pooled, image, group, y / 2, x / 2) + part : nullptr;
                if (rows == kStep && columns == kStep)
                    put_tile<true, Added, Pooled>(half, finish, to, target.row, add, residual.row, small, pooled.row, rows,
                                                  columns);
                else
                    put_tile<false, Added, Pooled>(half, finish, to, target.row, add, residual.row, small, pooled.row, rows,
                                                   columns);
            }
        }
}

template <class P, class Tiles> void transform_output(const TransformOutput& a) {
    const bool added = a.epilogue.residual.data, pooled = a.epilogue.pooled.data;
    if (added) return pooled ? put_tiles<P, Tiles, true, true>(a) : put_tiles<P, Tiles, true, false>(a);
    return pooled ? put_tiles<P, Tiles, false, true>(a) : put_tiles<P, Tiles, false, false>(a);
}

template <class P> void store_sums(const StoreSums& a) {
    using Channel = typename P::Channel;
    using Result = typename P::Product::Result;
    const Blocked& residual = a.epilogue.residual;
    for (int g = 0; g < a.groups; ++g) {
        const int group = a.first_group + g;
        const Finish<Channel, F16> finish(a.epilogue, group * kGroup);
        for (int x = 0; x < a.pixels; ++x) {
            const F16 sum = load(reinterpret_cast<const Result*>(a.sums + x * a.row + g * 64));
            Channel* to = pixel<Channel>(*a.target, a.image, group, a.y, a.x + x);
            if (residual.data) store(to, finish(sum, pixel<Channel>(residual, a.image, group, a.y, a.x + x)));
            else store(to, finish(sum));
        }
    }
}

}  // namespace u2forge::U2FORGE_LEVEL
