// A plan, checked: buffers, steps, and the packed weights that they point into. Encoding: src/u2forge/native/encode.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels.h"

namespace u2forge {

enum class Layout : int { planar = 0, blocked = 1, pixels = 2 };

enum class Kind : int {
    normalize = 0,
    first_convolution = 1,
    convolution = 2,
    side_convolution = 3,
    pointwise_convolution = 4,
    pool = 5,
    resize = 6,
    resize_planar = 7,
    add = 8,
    copy = 9,
    copy_planar = 10,
    sigmoid = 11,
};

// Of a 3×3: directly, or by Winograd's F(4×4, 3×3) or F(6×6, 3×3).
enum class Algorithm : int { direct = 0, small_tiles = 1, large_tiles = 2 };

struct Buffer {
    Layout layout;
    int count, height, width;
    int input, output;  // -1: none
};

struct View {
    int buffer, first, count;  // buffer -1: none
    explicit operator bool() const { return buffer >= 0; }
};

struct Step {
    Kind kind;
    View source, target, residual, pooled;
    Algorithm algorithm;  // of a convolution
    int dilation;
    int eight_pairs;  // int16: the largest sum of magnitudes of weights that eight steps meet, from a group's first on
    int64_t weights, multiplier, addend, residual_multiplier;  // -1: none
    bool winograd() const { return algorithm != Algorithm::direct; }
    // The numbers that a 3×3 kernel becomes.
    int factors() const { return winograd() ? tiling().positions() : 9; }
    const Tiling& tiling() const { return algorithm == Algorithm::large_tiles ? kLargeTiles : kSmallTiles; }
};

constexpr int kBufferColumns = 6;
constexpr int kStepColumns = 24;
constexpr int kMostSide = 1 << 13;
constexpr int kMostChannels = 1 << 14;

struct Program {
    Precision precision;
    std::vector<Buffer> buffers;
    std::vector<Step> steps;
    int inputs = 0, outputs = 0;
    const uint8_t* weights;
    size_t weights_bytes;

    // Throws std::invalid_argument unless every index, size and offset is in range and fits the others.
    Program(Precision precision, const std::vector<int64_t>& buffers, const std::vector<int64_t>& steps,
            const uint8_t* weights, size_t weights_bytes);

    const float* floats(int64_t offset) const {
        return offset < 0 ? nullptr : reinterpret_cast<const float*>(weights + offset);
    }
};

// Bytes of one number of a convolution's packed weights.
int bytes_of_weight(Precision precision);

}  // namespace u2forge
