// What is not a product: copies, the first and the side convolutions, resizing, pooling, adding, copying.
#pragma once

#include "kernel_types.h"

namespace u2forge::U2FORGE_LEVEL {

template <class P> void interleave(const Interleave& a) {
    using Channel = typename P::Channel;
    using Transformed = typename P::Transformed;
    const Blocked& b = *a.source;
    const int first = a.block * groups_of_block<Channel>, left = b.count - first;
    const int groups = left < groups_of_block<Channel> ? left : groups_of_block<Channel>;
    for (int y = 0; y < b.height; ++y)
        for (int x = 0; x < b.width; ++x)
            for (int g = 0; g < groups; ++g) {
                auto* to = reinterpret_cast<Transformed*>(a.copy + y * a.row + x * a.pixel) + g * kGroup;
                const Channel* from = pixel<Channel>(b, a.image, first + g, y, x);
                if constexpr (sizeof(Channel) == 2) store_levels(to, load_levels<S16>(from));
                else if constexpr (sizeof(Transformed) == 2) store_bfloat16(to, load(from));
                else store(to, load(from));
            }
}

template <class Channel, int Pixels, int Columns>
inline void first_pixels(const FirstConvolution& a, int y, int x, int group) {
    const int stride = a.target->count * kGroup;
    F16 sums[Pixels][Columns];
    U2FORGE_UNROLL
    for (int c = 0; c < Columns; ++c)
        U2FORGE_UNROLL
        for (int p = 0; p < Pixels; ++p) sums[p][c] = load(a.addend + (group + c) * kGroup);
    const float* weights = a.weights + group * kGroup;
    for (int tap = 0; tap < 9; ++tap)
        for (int channel = 0; channel < a.channels; ++channel) {
            const float* in = a.padded + channel * a.channel + (y + tap / 3) * a.row + x + tap % 3;
            F16 columns[Columns];
            U2FORGE_UNROLL
            for (int c = 0; c < Columns; ++c) columns[c] = load(weights + c * kGroup);
            U2FORGE_UNROLL
            for (int p = 0; p < Pixels; ++p) {
                const F16 value = broadcast(in[p]);
                U2FORGE_UNROLL
                for (int c = 0; c < Columns; ++c) sums[p][c] = fma(value, columns[c], sums[p][c]);
            }
            weights += stride;
        }
    U2FORGE_UNROLL
    for (int p = 0; p < Pixels; ++p)
        U2FORGE_UNROLL
        for (int c = 0; c < Columns; ++c)
            store(pixel<Channel>(*a.target, a.image, group + c, y, x + p), max(sums[p][c], broadcast(0.0f)));
}

template <class Channel, int Columns> inline void first_columns(const FirstConvolution& a, int y, int group) {
    int x = 0;
    constexpr int most = rows_of_product<Columns>;
    for (; x + most <= a.target->width; x += most) first_pixels<Channel, most, Columns>(a, y, x, group);
    for (; x < a.target->width; ++x) first_pixels<Channel, 1, Columns>(a, y, x, group);
}

template <class P> void first_convolution(const FirstConvolution& a) {
    using Channel = typename P::Channel;
    for (int y = a.first_row; y < a.first_row + a.rows; ++y) {
        int group = 0;
        if constexpr (P::Product::most_columns == 4)
            for (; a.target->count - group >= 4; group += 4) first_columns<Channel, 4>(a, y, group);
        for (; group < a.target->count; ++group) first_columns<Channel, 1>(a, y, group);
    }
}

template <class P> void side_convolution(const SideConvolution& a) {
    using Channel = typename P::Channel;
    const Blocked& b = *a.source;
    const int channels = b.count * kGroup;
    for (int o = 0; o < a.target->channels; ++o)
        for (int y = a.first_row; y < a.first_row + a.rows; ++y) {
            float* out = a.target->data + a.image * a.target->image + o * a.target->channel + y * a.target->row;
            constexpr int run = 4;
            for (int x = 0; x < b.width; x += run) {
                const int pixels = b.width - x < run ? b.width - x : run;
                F16 sums[run];
                for (auto& s : sums) s = broadcast(0.0f);
                for (int tap = 0; tap < 9; ++tap) {
                    const float* weights = a.weights + (ptrdiff_t{o} * 9 + tap) * channels;
                    for (int g = 0; g < b.count; ++g) {
                        const F16 w = load(weights + g * kGroup);
                        const Channel* p = pixel<Channel>(b, a.image, g, y + tap / 3 - 1, x + tap % 3 - 1);
                        if (pixels == run)
                            for (int i = 0; i < run; ++i)
                                sums[i] = fma(load(p + i * 64 / static_cast<int>(sizeof(Channel))), w, sums[i]);
                        else
                            for (int i = 0; i < pixels; ++i)
                                sums[i] = fma(load(p + i * 64 / static_cast<int>(sizeof(Channel))), w, sums[i]);
                    }
                }
                for (int i = 0; i < pixels; ++i) out[x + i] = sum(sums[i]) + a.addend[o];
            }
        }
}

// Where an output pixel lies between two input pixels: half-pixel centres; a single output pixel at 0.
struct Between {
    int low, high;
    float share;  // of high
};
inline Between between(int to, int size_to, int size_from) {
    float at = size_to > 1 ? (static_cast<float>(to) + 0.5f) * static_cast<float>(size_from) / static_cast<float>(size_to) - 0.5f
                           : 0.0f;
    if (at < 0.0f) at = 0.0f;
    int low = static_cast<int>(at);
    if (low > size_from - 1) low = size_from - 1;
    const int high = low + 1 < size_from ? low + 1 : low;
    return {low, high, high == low ? 0.0f : at - static_cast<float>(low)};
}

inline F16 mix(F16 a, F16 b, F16 share) { return fma(share, b - a, a); }
// Of 15 bits: 8 × a level.
template <class V> inline V mix(V a, V b, V share) { return a + multiply_high(b - a, share); }

inline int16_t fixed(float share) {
    const int r = static_cast<int>(share * 32768.0f + 0.5f);
    return static_cast<int16_t>(r > 32767 ? 32767 : r);
}

template <class V, class Channel> inline void resize_group(const Resize& a, int group) {
    const Blocked &from = *a.source, &to = *a.target;
    for (int y = a.first_row; y < a.first_row + a.rows; ++y) {
        const Between v = between(y, to.height, from.height);
        const Channel* upper = pixel<Channel>(from, a.image, group, v.low, 0);
        const Channel* lower = pixel<Channel>(from, a.image, group, v.high, 0);
        Channel* out = pixel<Channel>(to, a.image, group, y, 0);
        constexpr ptrdiff_t step = 64 / sizeof(Channel);
        for (int x = 0; x < to.width; ++x) {
            const Between h = between(x, to.width, from.width);
            if constexpr (sizeof(Channel) == 4) {
                const F16 down = broadcast(v.share), right = broadcast(h.share);
                const F16 one = mix(load(upper + h.low * step), load(lower + h.low * step), down);
                const F16 two = mix(load(upper + h.high * step), load(lower + h.high * step), down);
                store(out + x * step, mix(one, two, right));
            } else {
                const V down = broadcast_level<V>(fixed(v.share)), right = broadcast_level<V>(fixed(h.share));
                auto read = [&](const Channel* p) { return shift_left<3>(load_levels<V>(p)); };
                const V one = mix(read(upper + h.low * step), read(lower + h.low * step), down);
                const V two = mix(read(upper + h.high * step), read(lower + h.high * step), down);
                store_levels(out + x * step, shift_right<3>(mix(one, two, right) + broadcast_level<V>(4)));
            }
        }
    }
}

// Both views begin in the same half of a block, or single groups are taken.
template <class Channel> inline bool aligned_alike(const Blocked& a, const Blocked& b) {
    return (a.first - b.first) % groups_of_block<Channel> == 0;
}

template <class Channel, class Function> inline void each_vector(const Rows& a, Function f) {
    bool alike = aligned_alike<Channel>(*a.source, *a.target);
    if (a.other) alike = alike && aligned_alike<Channel>(*a.source, *a.other);
    if constexpr (sizeof(Channel) == 4) {
        for (int g = a.first_group; g < a.first_group + a.groups; ++g) f(F16{}, g);
    } else if (alike) {
        each_group<Channel>(
            *a.source, a.first_group, a.groups, [&](int g) { f(S16{}, g); }, [&](int g) { f(S32{}, g); });
    } else {
        for (int g = a.first_group; g < a.first_group + a.groups; ++g) f(S16{}, g);
    }
}

template <class P> void resize(const Resize& a) {
    using Channel = typename P::Channel;
    const Rows rows{a.source, nullptr, a.target, nullptr, nullptr, a.image, a.first_group, a.groups, 0, 0};
    each_vector<Channel>(rows, [&](auto zero, int g) { resize_group<decltype(zero), Channel>(a, g); });
}

// `first_row` and `rows` are the target's.
template <class P> void pool(const Rows& a) {
    using Channel = typename P::Channel;
    constexpr ptrdiff_t step = 64 / sizeof(Channel);
    each_vector<Channel>(a, [&](auto zero, int g) {
        using V = decltype(zero);
        for (int y = a.first_row; y < a.first_row + a.rows; ++y) {
            const Channel* upper = pixel<Channel>(*a.source, a.image, g, 2 * y, 0);
            const Channel* lower = 2 * y + 1 < a.source->height ? pixel<Channel>(*a.source, a.image, g, 2 * y + 1, 0) : upper;
            Channel* out = pixel<Channel>(*a.target, a.image, g, y, 0);
            for (int x = 0; x < a.target->width; ++x) {
                const int right = 2 * x + 1 < a.source->width ? 2 * x + 1 : 2 * x;
                const V top = max(load(upper + 2 * x * step, V{}), load(upper + right * step, V{}));
                put(out + x * step, max(top, max(load(lower + 2 * x * step, V{}), load(lower + right * step, V{}))));
            }
        }
    });
}

template <class P> void add(const Rows& a) {
    using Channel = typename P::Channel;
    constexpr ptrdiff_t step = 64 / sizeof(Channel);
    for (int g = a.first_group; g < a.first_group + a.groups; ++g)
        for (int y = a.first_row; y < a.first_row + a.rows; ++y) {
            const Channel* one = pixel<Channel>(*a.source, a.image, g, y, 0);
            const Channel* two = pixel<Channel>(*a.other, a.image, g, y, 0);
            Channel* out = pixel<Channel>(*a.target, a.image, g, y, 0);
            for (int x = 0; x < a.target->width; ++x) {
                F16 first = load(one + x * step), second = load(two + x * step);
                if constexpr (sizeof(Channel) == 2) {
                    first = first * load(a.multiplier + g * kGroup);
                    second = second * load(a.other_multiplier + g * kGroup);
                }
                store(out + x * step, first + second);
            }
        }
}

template <class P> void copy(const Rows& a) {
    using Channel = typename P::Channel;
    constexpr ptrdiff_t step = 64 / sizeof(Channel);
    each_vector<Channel>(a, [&](auto zero, int g) {
        using V = decltype(zero);
        for (int y = a.first_row; y < a.first_row + a.rows; ++y) {
            const Channel* in = pixel<Channel>(*a.source, a.image, g, y, 0);
            Channel* out = pixel<Channel>(*a.target, a.image, g, y, 0);
            for (int x = 0; x < a.target->width; ++x) put(out + x * step, load(in + x * step, V{}));
        }
    });
}

}  // namespace u2forge::U2FORGE_LEVEL
