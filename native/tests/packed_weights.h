// Packs random weights as src/u2forge/native does, for the tests: the same layout, written a second time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../src/program.h"

namespace u2forge::test {

// The bytes that a program points into, as they grow.
class Packed {
   public:
    template <class Number> int64_t put(const std::vector<Number>& numbers, size_t alignment = 64) {
        bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
        const auto offset = static_cast<int64_t>(bytes.size());
        const auto* from = reinterpret_cast<const uint8_t*>(numbers.data());
        bytes.insert(bytes.end(), from, from + numbers.size() * sizeof(Number));
        return offset;
    }

    std::vector<uint8_t> bytes;
};

// [output channel][input channel][tap], both of whole groups.
struct Taps {
    int outputs, inputs;
    std::vector<double> values;
    double at(int o, int i, int tap) const { return values[(size_t(o) * inputs + i) * 9 + tap]; }
};

// [position or tap][input channel][output channel]: what the products multiply by.
struct Factors {
    int positions, inputs, outputs;
    std::vector<double> values;
    double& at(int p, int i, int o) { return values[(size_t(p) * inputs + i) * outputs + o]; }
    double at(int p, int i, int o) const { return values[(size_t(p) * inputs + i) * outputs + o]; }
};

inline Factors direct_factors(const Taps& w) {
    Factors f{9, w.inputs, w.outputs, std::vector<double>(size_t{9} * w.inputs * w.outputs)};
    for (int p = 0; p < 9; ++p)
        for (int i = 0; i < w.inputs; ++i)
            for (int o = 0; o < w.outputs; ++o) f.at(p, i, o) = w.at(o, i, p);
    return f;
}

// What transformed weights are multiplied with: weight[row] · weight[column] · all.
struct WinogradScale {
    double weight[8], all;
};

// G w Gᵀ, so scaled that the kernels' scales cancel out.
inline Factors winograd_factors(const Taps& w, const Tiling& tiling, const WinogradScale& scale) {
    constexpr double small[6][3] = {{1.0 / 4, 0, 0},
                                    {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                    {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                    {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                    {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                    {0, 0, 1}};
    constexpr double large[8][3] = {{1, 0, 0},
                                    {-2.0 / 9, -2.0 / 9, -2.0 / 9},
                                    {-2.0 / 9, 2.0 / 9, -2.0 / 9},
                                    {1.0 / 90, 1.0 / 45, 2.0 / 45},
                                    {1.0 / 90, -1.0 / 45, 2.0 / 45},
                                    {32.0 / 45, 16.0 / 45, 8.0 / 45},
                                    {32.0 / 45, -16.0 / 45, 8.0 / 45},
                                    {0, 0, 1}};
    const auto* g = tiling.tile == 6 ? small : large;
    const int tile = tiling.tile, positions = tiling.positions();
    Factors f{positions, w.inputs, w.outputs, std::vector<double>(size_t(positions) * w.inputs * w.outputs)};
    for (int o = 0; o < w.outputs; ++o)
        for (int c = 0; c < w.inputs; ++c)
            for (int i = 0; i < tile; ++i)
                for (int j = 0; j < tile; ++j) {
                    double sum = 0;
                    for (int tap = 0; tap < 9; ++tap) sum += g[i][tap / 3] * w.at(o, c, tap) * g[j][tap % 3];
                    f.at(tile * i + j, c, o) = sum * scale.weight[i] * scale.weight[j] * scale.all;
                }
    return f;
}

inline uint16_t bfloat16(double value) {
    const auto narrow = static_cast<float>(value);
    uint32_t bits;
    std::memcpy(&bits, &narrow, 4);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Blocks of four, two, one vectors of output channels; within each (positions, inputs / unit, vectors · 16, unit).
template <class Number, class Convert> std::vector<Number> in_blocks(const Factors& f, int unit, Convert convert) {
    std::vector<Number> packed;
    packed.reserve(f.values.size());
    for (int first = 0; first < f.outputs;) {
        const int left = (f.outputs - first) / kGroup, vectors = left >= 4 ? 4 : left >= 2 ? 2 : 1;
        for (int p = 0; p < f.positions; ++p)
            for (int i = 0; i < f.inputs; i += unit)
                for (int o = first; o < first + vectors * kGroup; ++o)
                    for (int k = 0; k < unit; ++k) packed.push_back(convert(f.at(p, i + k, o), o));
        first += vectors * kGroup;
    }
    return packed;
}

// Integer weights, each output channel with a scale of its own.
struct Int16Weights {
    std::vector<int16_t> packed;
    std::vector<double> scale;  // [output channel]
    int eight_pairs;            // as Step has it
};

// saturating: the largest weights that 16 bits hold; else so small that no sum of products can leave 32 bits.
inline Int16Weights int16_weights(const Factors& f, int largest_operand, bool saturating) {
    Int16Weights r;
    for (int o = 0; o < f.outputs; ++o) {
        double largest = 1e-30, largest_sum = 1e-30;
        for (int p = 0; p < f.positions; ++p) {
            double sum = 0;
            for (int i = 0; i < f.inputs; ++i) {
                largest = std::max(largest, std::fabs(f.at(p, i, o)));
                sum += std::fabs(f.at(p, i, o));
            }
            // One tap's sums are added to another's, where the convolution is direct.
            largest_sum = f.positions == 9 ? (p == 0 ? sum : largest_sum + sum) : std::max(largest_sum, sum);
        }
        double scale = 32767 / largest;
        // Rounded weights add up to at most half a unit each more.
        const double room = 2147483647.0 / largest_operand - 0.5 * f.inputs * (f.positions == 9 ? 9 : 1);
        if (!saturating) scale = std::min(scale, room / largest_sum);
        r.scale.push_back(scale);
    }
    auto rounded = [&](double value, int o) { return static_cast<int16_t>(std::lrint(value * r.scale[o])); };
    r.packed = in_blocks<int16_t>(f, 2, rounded);
    r.eight_pairs = 1;
    for (int p = 0; p < f.positions; ++p)
        for (int o = 0; o < f.outputs; ++o)
            for (int first = 0; first < f.inputs; first += 16) {
                int sum = 0;
                for (int i = first; i < first + 16; ++i) sum += std::abs(int{rounded(f.at(p, i, o), o)});
                r.eight_pairs = std::max(r.eight_pairs, sum);
            }
    return r;
}

}  // namespace u2forge::test
