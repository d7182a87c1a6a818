// The kernels' interface: what the executor calls, the same for every instruction set and precision.
#pragma once

#include <cstddef>
#include <cstdint>

namespace u2forge {

constexpr int kGroup = 16;       // channels that are padded, placed and computed together
constexpr int kHighestLevel = 4095;  // of 16-bit activations
constexpr int kRowPadding = 64;  // bytes behind each row of transformed tiles: rows do not share cache sets

// Winograd's F(step × step, 3×3): of tile × tile input pixels step × step output pixels.
struct Tiling {
    int tile, step;
    constexpr int positions() const { return tile * tile; }  // of a transformed tile
};
constexpr Tiling kSmallTiles{6, 4};
constexpr Tiling kLargeTiles{8, 6};  // of float32 only: 16 bits are too few for the larger numbers between

enum class Precision : int { float32 = 0, bfloat16 = 1, int16 = 2 };

// A blocked tensor, or some groups of it: blocks of 64 bytes a pixel (one group of floats, two of 16-bit levels), each
// block an image with a border. data: pixel (0, 0) of image 0, block 0; strides in bytes.
struct Blocked {
    char* data;
    ptrdiff_t image, block, row;
    int first, count;  // groups
    int height, width;
};

struct Planar {
    float* data;
    ptrdiff_t image, channel, row;  // in floats
    int channels, height, width;
};

// What is done to a sum of products on its way to memory: times multiplier (where there is one) plus addend, rectified,
// plus the residual times its multiplier. The arrays begin at the first channel of the target. Without data: no residual, no
// pooled target.
struct Epilogue {
    const float* multiplier;
    const float* addend;
    const float* residual_multiplier;
    Blocked residual, pooled;
};

struct TransformInput {
    const Blocked* source;
    int tiles_x, tiles_y;
    int first_tile, tiles;         // over all images
    int first_group, groups;       // of source
    char* transformed;             // row of tile 0 of `first_tile`, position 0
    ptrdiff_t position, row;       // bytes between positions, and between tiles
    uint16_t* largest;             // of a tile's rows of positions, raised to the largest magnitude; of kernels that flush
};

// `rows` × `columns` vectors of 16: sums of operand rows times weights. More: added to what `result` holds. Fetch: the
// weights that lie behind these are next.
struct Product {
    const char* operand;  // of the first row; four bytes a step
    const char* weights;
    int steps;
    int rows, columns;
    ptrdiff_t operand_row;   // bytes
    ptrdiff_t weights_step;  // bytes
    char* result;            // 64 bytes a vector
    ptrdiff_t result_row;    // bytes
    bool more, fetch;
    int chunk;               // of kernels that flush: steps whose sums fit into 32 bits
};

struct TransformOutput {
    const char* products;  // position 0, tile first_tile
    ptrdiff_t position, row;
    int tiles_x, tiles_y;
    int first_tile, tiles;
    int first_group, groups;  // of target; also of residual and pooled, and 16 × first_group of the epilogue's arrays
    const Blocked* target;
    Epilogue epilogue;
};

// One row of pixels of sums, to memory.
struct StoreSums {
    const char* sums;
    ptrdiff_t row;  // bytes between pixels
    int image, y, x, pixels;
    int first_group, groups;
    const Blocked* target;
    Epilogue epilogue;
};

// Pixels of one block into a copy where a pixel's channels lie one behind the other; 16-bit levels two groups a block,
// floats one, as bfloat16 where the products want it.
struct Interleave {
    const Blocked* source;
    int image, block;
    char* copy;            // the block's place in the image's first pixel
    ptrdiff_t row, pixel;  // bytes
};

struct FirstConvolution {
    const float* padded;  // pixel (-1, -1) of channel 0 of the image
    ptrdiff_t channel, row;
    int channels;
    const float* weights;  // (9, channels, 16 · groups of the target)
    const float* addend;
    const Blocked* target;
    int image, first_row, rows;
};

struct SideConvolution {
    const Blocked* source;
    const float* weights;  // (channels of the target, 9, 16 · groups of the source)
    const float* addend;
    const Planar* target;
    int image, first_row, rows;
};

struct Resize {
    const Blocked* source;
    const Blocked* target;
    int image, first_group, groups, first_row, rows;
};

struct Rows {  // pool, add, copy
    const Blocked* source;
    const Blocked* other;
    const Blocked* target;
    const float* multiplier;
    const float* other_multiplier;
    int image, first_group, groups, first_row, rows;
};

struct Transforms {
    void (*input)(const TransformInput&);
    void (*output)(const TransformOutput&);
};

struct Kernels {
    int bytes_of_channel;      // in blocked tensors
    int bytes_of_transformed;  // in transformed tiles and interleaved copies
    int columns;               // vectors of a product that are computed side by side
    int steps_of_panel;        // whose weights, of so many columns, a near cache holds while all rows meet them
    bool flushes;              // 16-bit sums go to floats before they can fill 32 bits
    Transforms small_tiles;
    Transforms large_tiles;    // null where the precision has none
    void (*product)(const Product&);
    void (*store_sums)(const StoreSums&);
    void (*interleave)(const Interleave&);
    void (*first_convolution)(const FirstConvolution&);
    void (*side_convolution)(const SideConvolution&);
    void (*resize)(const Resize&);
    void (*pool)(const Rows&);
    void (*add)(const Rows&);
    void (*copy)(const Rows&);
};

// Of an instruction set; null where it has no kernels of that precision.
using KernelsOf = const Kernels* (*)(Precision);

}  // namespace u2forge
