#include "executor.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace u2forge {
namespace {

int rounded_up(int value, int unit) { return (value + unit - 1) / unit * unit; }
int quotient_up(int value, int unit) { return (value + unit - 1) / unit; }

// Rows or columns of a blocked image in memory: a border of one, and whole tiles of `step`.
int with_border(int side, int step) { return 1 + rounded_up(side, step) + 1; }

int groups_of_block(const Kernels& kernels) { return 64 / (kGroup * kernels.bytes_of_channel); }

// What the second cache of a thread should hold of transformed tiles and sums.
constexpr int kCacheBytes = 512 * 1024;
// And of the sums of a direct convolution.
constexpr int kSumsBytes = 128 * 1024;
// Weights of so many bytes stay in the third cache from one item's tiles to the next one's, and are near enough there.
constexpr int kNearWeights = 1024 * 1024;
// Of a direct convolution the middle tap first: it alone meets each pixel.
constexpr int kTaps[] = {4, 0, 1, 2, 3, 5, 6, 7, 8};
// From here on tiles are dealt to the threads, each with all channels; below, output channels are.
constexpr int kManyTiles = 300;
constexpr int kItems = 24;  // into which tiles are dealt out by kernels that flush, whatever the number of threads
constexpr int kMostColumns = 4;  // vectors of an output block, as packed
constexpr int kImagesOfPass = 1;
constexpr int kLargestTile = kLargeTiles.tile;

// The blocks of a convolution's packed weights: as many of four vectors as fit, then of two, of one.
struct OutputBlock {
    int first, count;      // groups
    ptrdiff_t weights;     // bytes, for each number of bytes before it
};

std::vector<OutputBlock> output_blocks(int groups, ptrdiff_t bytes_of_group) {
    std::vector<OutputBlock> blocks;
    for (int first = 0; first < groups;) {
        const int left = groups - first, count = left >= 4 ? 4 : left >= 2 ? 2 : 1;
        blocks.push_back({first, count, first * bytes_of_group});
        first += count;
    }
    return blocks;
}

// Steps that are proven to sum to 32 bits with operands of `largest` at most: whole groups of eight; or fewer, whose weights are
// at most two times 32767 each.
int proven_steps(int eight_pairs, int largest) {
    const int limit = INT_MAX / std::max(1, largest), groups = std::min(limit / std::max(1, eight_pairs), 1 << 20);
    return groups > 0 ? 8 * groups : std::clamp(limit / (2 * 32767), 1, 7);
}

Piece piece(int total, int pieces, int index) {
    const int first = static_cast<int>(int64_t{total} * index / pieces);
    return {first, static_cast<int>(int64_t{total} * (index + 1) / pieces) - first};
}

// Transformed tiles of all channels: a row for each tile, positions one behind the other.
struct Transformed {
    ptrdiff_t row, position;
    size_t bytes(const Tiling& tiling) const { return size_t(tiling.positions()) * position; }
};
Transformed transformed(const Kernels& kernels, int channels, int tiles) {
    const ptrdiff_t row = ptrdiff_t{channels} * kernels.bytes_of_transformed + kRowPadding;
    return {row, row * tiles + kRowPadding};
}

int tiles_of(int height, int width, const Tiling& t) { return quotient_up(height, t.step) * quotient_up(width, t.step); }

// The phases of a dilated convolution: images of every d-th row and column. For small tiles.
Blocked phases(const Kernels& kernels, int groups, int height, int width, int dilation) {
    const int phase_height = quotient_up(height, dilation), phase_width = quotient_up(width, dilation);
    Blocked r{nullptr, 0, 0, ptrdiff_t{with_border(phase_width, kSmallTiles.step)} * 64, 0, groups, phase_height, phase_width};
    r.block = with_border(phase_height, kSmallTiles.step) * r.row;
    r.image = quotient_up(groups, groups_of_block(kernels)) * r.block;
    return r;
}

// A picture's planes with a border of one pixel.
struct PaddedPlane {
    ptrdiff_t row, plane;  // in floats
};
PaddedPlane padded_plane(int height, int width) {
    const ptrdiff_t row = rounded_up(width + 2, 16) + 16;
    return {row, (height + 2) * row};
}

// An image whose pixels' channels lie one behind the other.
struct Interleaved {
    ptrdiff_t block, pixel, row, image;  // bytes
};
Interleaved interleaved(const Kernels& kernels, int groups, int height, int width) {
    const int per_block = groups_of_block(kernels), block = per_block * kGroup * kernels.bytes_of_transformed;
    const ptrdiff_t pixel = ptrdiff_t{quotient_up(groups, per_block)} * block + kRowPadding;
    return {block, pixel, width * pixel, height * width * pixel};
}

}  // namespace

// A blocked buffer holds whole tiles of `step`.
void Session::reach(int buffer, int step) {
    const Buffer& b = program_->buffers[buffer];
    rows_[buffer] = std::max(rows_[buffer], with_border(b.height, step));
    columns_[buffer] = std::max(columns_[buffer], with_border(b.width, step));
}

size_t Session::bytes_of_image(int buffer) const {
    const Buffer& b = program_->buffers[buffer];
    if (b.layout == Layout::blocked)
        return size_t(quotient_up(b.count, groups_of_block(kernels_))) * rows_[buffer] * columns_[buffer] * 64;
    return size_t(b.count) * b.height * b.width * (b.layout == Layout::planar ? 4 : 1);
}

const Transforms& Session::transforms_of(const Step& step) const {
    return step.algorithm == Algorithm::large_tiles ? kernels_.large_tiles : kernels_.small_tiles;
}

// Blocks of a blocked buffer live and die each by itself, others as a whole.
int Session::parts_of(const Buffer& buffer) const {
    return buffer.layout == Layout::blocked ? quotient_up(buffer.count, groups_of_block(kernels_)) : 1;
}

Piece Session::parts_of_view(const View& view) const {
    if (program_->buffers[view.buffer].layout != Layout::blocked) return {0, 1};
    const int per_block = groups_of_block(kernels_), first = view.first / per_block;
    return {first, quotient_up(view.first + view.count, per_block) - first};
}

Session::Session(std::shared_ptr<const Program> program, KernelsOf kernels, int threads)
    : program_(std::move(program)),
      kernels_([&]() -> const Kernels& {
          const Kernels* found = kernels(program_->precision);
          if (!found) throw std::invalid_argument("this instruction set has no kernels of that precision");
          return *found;
      }()),
      pool_(std::clamp(threads, 1, 1024)) {
    const size_t count = program_->buffers.size();
    data_.resize(count);
    scratch_.resize(program_->steps.size());
    border_read_.assign(count, false);
    rows_.resize(count);
    columns_.resize(count);
    for (size_t i = 0; i < count; ++i) reach(static_cast<int>(i), kSmallTiles.step);
    for (const Buffer& b : program_->buffers) parts_.emplace_back(parts_of(b), PartLife{});
    for (int i = 0; i < static_cast<int>(program_->steps.size()); ++i) {
        const Step& s = program_->steps[i];
        for (const View* v : {&s.source, &s.target, &s.residual, &s.pooled}) {
            if (!*v) continue;
            const Piece used = parts_of_view(*v);
            for (int p = used.first; p < used.first + used.count; ++p) {
                PartLife& life = parts_[v->buffer][p];
                life.first = std::min(life.first, i);
                life.last = i;
            }
        }
        if (s.kind == Kind::side_convolution || (s.kind == Kind::convolution && s.winograd()))
            border_read_[s.source.buffer] = true;
        if (s.kind == Kind::convolution) reach(s.source.buffer, s.tiling().step);
    }
    own_.resize(pool_.threads());
}

size_t Session::memory_bytes() const {
    return arena_bytes_ + own_bytes_ * own_.size();
}

void Session::poison() {
    std::lock_guard<std::mutex> lock(running_);
    if (arena_) std::memset(arena_.get(), 0xff, arena_bytes_);
    for (Memory& memory : own_)
        if (memory) std::memset(memory.get(), 0xff, own_bytes_);
}

void Session::prepare(int images) {
    if (images == images_) return;
    images_ = 0;
    const auto& buffers = program_->buffers;
    std::vector<Parts> lives(buffers.size());
    for (size_t b = 0; b < buffers.size(); ++b) {
        // Callers bring the memory of inputs and outputs.
        if (buffers[b].input >= 0 || buffers[b].output >= 0) continue;
        const size_t bytes = bytes_of_image(static_cast<int>(b)) / parts_[b].size();
        for (int image = 0; image < images; ++image)
            for (const PartLife& life : parts_[b]) lives[b].push_back({bytes, life.first, life.last});
    }
    const auto& steps = program_->steps;
    for (int i = 0; i < static_cast<int>(steps.size()); ++i) lives.push_back({{scratch_bytes(steps[i], images), i, i}});
    const MemoryPlan plan = plan_memory(lives);
    arena_.reset();
    arena_ = allocate(plan.bytes);
    arena_bytes_ = plan.bytes;
    for (size_t i = 0; i < buffers.size(); ++i) data_[i] = arena_.get() + plan.offsets[i];
    for (size_t i = 0; i < steps.size(); ++i) scratch_[i] = arena_.get() + plan.offsets[buffers.size() + i];
    images_ = images;
}

// Of what a step needs for itself, and all threads share.
size_t Session::scratch_bytes(const Step& step, int images) const {
    const Buffer& b = program_->buffers[step.source.buffer];
    const int channels = step.source.count * kGroup, tiles = tiles_of(b.height, b.width, step.tiling()) * images;
    if (step.kind == Kind::first_convolution)
        // One plane more than is used: g++ 12 loads the next channel's pixels together with the last one's, where it
        // vectorizes the portable kernel, and then does without them.
        return size_t(padded_plane(b.height, b.width).plane) * (step.source.count * images + 1) * sizeof(float);
    if (step.kind != Kind::convolution) return 0;
    if (!step.winograd()) return size_t(interleaved(kernels_, step.source.count, b.height, b.width).image) * images;
    if (step.dilation == 1) return tiles < kManyTiles ? transformed(kernels_, channels, tiles).bytes(step.tiling()) : 0;
    const Blocked from = phases(kernels_, step.source.count, b.height, b.width, step.dilation);
    const Blocked to = phases(kernels_, step.target.count, b.height, b.width, step.dilation);
    const int all = images * step.dilation * step.dilation;
    return size_t(from.image + to.image) * all +
           transformed(kernels_, channels, tiles_of(from.height, from.width, kSmallTiles) * all).bytes(kSmallTiles);
}

void Session::run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, int images, double* step_ms) {
    std::lock_guard<std::mutex> lock(running_);
    using Clock = std::chrono::steady_clock;
    const auto& buffers = program_->buffers;
    for (int done = 0; done < images;) {
        const int pass = std::min(images - done, kImagesOfPass);
        prepare(pass);
        for (size_t i = 0; i < buffers.size(); ++i) {
            const Buffer& b = buffers[i];
            const size_t offset = bytes_of_image(static_cast<int>(i)) * done;
            if (b.input >= 0) data_[i] = const_cast<char*>(static_cast<const char*>(inputs[b.input])) + offset;
            if (b.output >= 0) data_[i] = static_cast<char*>(outputs[b.output]) + offset;
        }
        for (size_t i = 0; i < program_->steps.size(); ++i) {
            const Step& step = program_->steps[i];
            const auto start = Clock::now();
            for (const View* v : {&step.target, &step.pooled})
                if (*v && border_read_[v->buffer]) clear_new_borders(*v, static_cast<int>(i));
            execute(step, scratch_[i]);
            if (step_ms) step_ms[i] += std::chrono::duration<double, std::milli>(Clock::now() - start).count();
        }
        done += pass;
    }
}

void Session::execute(const Step& step, char* scratch) {
    switch (step.kind) {
        case Kind::normalize: return normalize(step);
        case Kind::first_convolution: return first_convolution(step, scratch);
        case Kind::convolution: return step.winograd() ? winograd(step, scratch) : direct(step, scratch);
        case Kind::side_convolution: return side_convolution(step);
        case Kind::pointwise_convolution: return pointwise_convolution(step);
        case Kind::pool: return rows(step, kernels_.pool);
        case Kind::resize: return resize(step);
        case Kind::resize_planar: return resize_planar(step);
        case Kind::add: return rows(step, kernels_.add);
        case Kind::copy: return rows(step, kernels_.copy);
        case Kind::copy_planar: return planar_copy(step);
        case Kind::sigmoid: return sigmoid(step);
    }
}

Blocked Session::blocked(const View& view) const {
    const Buffer& b = program_->buffers[view.buffer];
    Blocked r;
    r.row = ptrdiff_t{columns_[view.buffer]} * 64;
    r.block = rows_[view.buffer] * r.row;
    r.image = static_cast<ptrdiff_t>(bytes_of_image(view.buffer));
    r.data = data_[view.buffer] + r.row + 64;
    r.first = view.first;
    r.count = view.count;
    r.height = b.height;
    r.width = b.width;
    return r;
}

Planar Session::planar(const View& view) const {
    const Buffer& b = program_->buffers[view.buffer];
    const ptrdiff_t channel = ptrdiff_t{b.height} * b.width;
    return {reinterpret_cast<float*>(data_[view.buffer]) + view.first * channel,
            channel * b.count,
            channel,
            b.width,
            view.count,
            b.height,
            b.width};
}

Epilogue Session::epilogue(const Step& step) const {
    return {program_->floats(step.multiplier), program_->floats(step.addend), program_->floats(step.residual_multiplier),
            step.residual ? blocked(step.residual) : Blocked{}, step.pooled ? blocked(step.pooled) : Blocked{}};
}

void Session::need_own(size_t bytes) {
    if (bytes <= own_bytes_) return;
    own_bytes_ = 0;
    for (Memory& memory : own_) {
        memory.reset();
        memory = allocate(bytes);
    }
    own_bytes_ = bytes;
}

// Of blocks that are first written in that step, what lies around the pixels reads as zero: one row and column before, and
// behind up to whole tiles and one more.
void Session::clear_new_borders(const View& view, int step) {
    const Buffer& b = program_->buffers[view.buffer];
    const ptrdiff_t row = ptrdiff_t{columns_[view.buffer]} * 64;
    const int rows = rows_[view.buffer], blocks = parts_of(b);
    std::vector<int> fresh;
    const Piece written = parts_of_view(view);
    for (int block = written.first; block < written.first + written.count; ++block)
        if (parts_[view.buffer][block].first == step)
            for (int image = 0; image < images_; ++image) fresh.push_back(image * blocks + block);
    auto clear = [&](int item, int) {
        char* p = data_[view.buffer] + fresh[item] * rows * row;
        std::memset(p, 0, row);
        for (int y = 1; y <= b.height; ++y) {
            std::memset(p + y * row, 0, 64);
            const ptrdiff_t behind = ptrdiff_t{1 + b.width} * 64;
            std::memset(p + y * row + behind, 0, row - behind);
        }
        std::memset(p + (b.height + 1) * row, 0, (rows - b.height - 1) * row);
    };
    const int items = static_cast<int>(fresh.size());
    if (ptrdiff_t{items} * rows < 256)
        for (int item = 0; item < items; ++item) clear(item, 0);
    else pool_.run(items, clear);
}

void Session::normalize(const Step& step) {
    const Buffer& b = program_->buffers[step.source.buffer];
    const Planar target = planar(step.target);
    const float* scale = program_->floats(step.multiplier);
    const float* offset = program_->floats(step.addend);
    const int pixels = b.height * b.width;
    pool_.run(images_, [&](int image, int) {
        const auto* in = reinterpret_cast<const uint8_t*>(data_[step.source.buffer]) + size_t(image) * pixels * b.count;
        const uint8_t largest = *std::max_element(in, in + size_t(pixels) * b.count);
        const float divisor = largest > 1 ? largest : 1.0f;
        for (int c = 0; c < b.count; ++c) {
            float* out = target.data + image * target.image + c * target.channel;
            for (int i = 0; i < pixels; ++i)
                out[i] = static_cast<float>(in[size_t(i) * b.count + c]) / divisor * scale[c] + offset[c];
        }
    });
}

void Session::first_convolution(const Step& step, char* scratch) {
    const Planar source = planar(step.source);
    const Blocked target = blocked(step.target);
    const int height = source.height, width = source.width;
    const ptrdiff_t row = padded_plane(height, width).row, channel = padded_plane(height, width).plane;
    float* padded = reinterpret_cast<float*>(scratch);
    pool_.run(source.channels * images_, [&](int item, int) {
        const int image = item / source.channels, c = item % source.channels;
        float* out = padded + item * channel;
        std::memset(out, 0, channel * 4);
        for (int y = 0; y < height; ++y)
            std::memcpy(out + (y + 1) * row + 1, source.data + image * source.image + c * source.channel + y * source.row,
                        width * sizeof(float));
    });
    constexpr int rows = 4;
    const int pieces = quotient_up(height, rows);
    pool_.run(pieces * images_, [&](int item, int) {
        const int image = item / pieces, first = item % pieces * rows;
        kernels_.first_convolution({padded + image * source.channels * channel, channel, row, source.channels,
                                    program_->floats(step.weights), program_->floats(step.addend), &target, image, first,
                                    std::min(rows, height - first)});
    });
}

void Session::winograd(const Step& step, char* scratch) {
    const Buffer& b = program_->buffers[step.source.buffer];
    const int tiles = tiles_of(b.height, b.width, step.tiling()) * images_;
    if (step.dilation > 1) return winograd_by_phases(step, scratch);
    if (tiles < kManyTiles) {
        const Blocked source = blocked(step.source), target = blocked(step.target);
        return winograd_by_channels(step, source, target, images_, epilogue(step), scratch);
    }
    const int columns = std::min(kMostColumns, step.target.count);
    // Transformed tiles of all input channels, and sums of one block of output channels.
    const ptrdiff_t tile_bytes =
        step.tiling().positions() *
        (ptrdiff_t{step.source.count} * kGroup * kernels_.bytes_of_transformed + kRowPadding + columns * 64);
    const int unit = columns >= 4 ? 6 : 12;
    int most = static_cast<int>(kCacheBytes / tile_bytes) / unit * unit;
    most = std::clamp(most, 2 * 12, 96);
    // Evenly over the threads; but where sums are rounded on the way, which depends on what else an item contains, results
    // are to be the same for any number of them.
    const int rounds = std::max(1, quotient_up(tiles, most * pool_.threads()));
    const int items = kernels_.flushes ? kItems : rounds * pool_.threads();
    winograd_by_tiles(step, std::min(most, rounded_up(quotient_up(tiles, items), unit)));
}

void Session::winograd_by_tiles(const Step& step, int tiles_of_item) {
    const Blocked source = blocked(step.source), target = blocked(step.target);
    const int tile = step.tiling().tile, positions = step.tiling().positions();
    const Transforms& transforms = transforms_of(step);
    const int tiles_x = quotient_up(source.width, step.tiling().step);
    const int tiles_y = quotient_up(source.height, step.tiling().step);
    const int tiles = tiles_x * tiles_y * images_;
    const int channels = source.count * kGroup;
    const int steps = channels * kernels_.bytes_of_transformed / 4;
    const ptrdiff_t row = transformed(kernels_, channels, tiles_of_item).row;
    const ptrdiff_t position = transformed(kernels_, channels, tiles_of_item).position;
    const ptrdiff_t sums_row = kMostColumns * 64, sums_position = sums_row * tiles_of_item + kRowPadding;
    need_own(positions * (position + sums_position));
    const char* weights = reinterpret_cast<const char*>(program_->weights + step.weights);
    const ptrdiff_t group_bytes = ptrdiff_t{positions} * steps * 64;
    const auto blocks = output_blocks(target.count, group_bytes);
    const bool fetch = target.count * group_bytes > kNearWeights;
    const Epilogue finish = epilogue(step);
    pool_.run(quotient_up(tiles, tiles_of_item), [&](int item, int worker) {
        const int first = item * tiles_of_item, count = std::min(tiles_of_item, tiles - first);
        char* operands = own(worker);
        char* sums = operands + positions * position;
        uint16_t largest[kLargestTile] = {};
        transforms.input(
            {&source, tiles_x, tiles_y, first, count, 0, source.count, operands, position, row, largest});
        for (const OutputBlock& block : blocks) {
            const ptrdiff_t step_bytes = block.count * 64;
            for (int p = 0; p < positions; ++p)
                kernels_.product({operands + p * position, weights + block.weights + p * steps * step_bytes, steps, count,
                                  block.count, row, step_bytes, sums + p * sums_position, sums_row, false, fetch,
                                  proven_steps(step.eight_pairs, largest[p / tile])});
            transforms.output({sums, sums_position, sums_row, tiles_x, tiles_y, first, count, block.first,
                               block.count, &target, finish});
        }
    });
}

// A convolution of dilation d is d² ordinary ones, each of every d-th row and column.
void Session::winograd_by_phases(const Step& step, char* scratch) {
    const Blocked source = blocked(step.source), target = blocked(step.target);
    const int dilation = step.dilation, images = images_ * dilation * dilation;
    Blocked from = phases(kernels_, source.count, source.height, source.width, dilation);
    Blocked to = phases(kernels_, target.count, source.height, source.width, dilation);
    char* results = scratch + from.image * images;
    from.data = scratch + from.row + 64;
    to.data = results + to.row + 64;
    std::memset(scratch, 0, size_t(from.image) * images);
    move_phases(source, from, dilation, true);
    winograd_by_channels(step, from, to, images, epilogue(step), results + to.image * images);
    move_phases(target, to, dilation, false);
}

void Session::move_phases(const Blocked& image, const Blocked& phases, int dilation, bool gather) {
    const int per_block = groups_of_block(kernels_);
    const size_t bytes = size_t(kGroup) * kernels_.bytes_of_channel;
    auto group = [&](const Blocked& b, int index, int g) {
        const int at = b.first + g;
        return b.data + index * b.image + at / per_block * b.block + at % per_block * static_cast<ptrdiff_t>(bytes);
    };
    pool_.run(images_ * image.count, [&](int item, int) {
        const int picture = item / image.count, g = item % image.count;
        char* whole = group(image, picture, g);
        for (int y = 0; y < image.height; ++y)
            for (int x = 0; x < image.width; ++x) {
                const int phase = (picture * dilation + y % dilation) * dilation + x % dilation;
                char* part = group(phases, phase, g) + y / dilation * phases.row + ptrdiff_t{x / dilation} * 64;
                char* pixel = whole + y * image.row + ptrdiff_t{x} * 64;
                if (gather) std::memcpy(part, pixel, bytes);
                else std::memcpy(pixel, part, bytes);
            }
    });
}

void Session::winograd_by_channels(const Step& step, const Blocked& source, const Blocked& target, int images,
                                   const Epilogue& finish, char* operands) {
    const int tile = step.tiling().tile, positions = step.tiling().positions();
    const Transforms& transforms = transforms_of(step);
    const int tiles_x = quotient_up(source.width, step.tiling().step);
    const int tiles_y = quotient_up(source.height, step.tiling().step);
    const int tiles = tiles_x * tiles_y * images;
    const int channels = source.count * kGroup;
    const int steps = channels * kernels_.bytes_of_transformed / 4;
    const ptrdiff_t row = transformed(kernels_, channels, tiles).row;
    const ptrdiff_t position = transformed(kernels_, channels, tiles).position;
    const int per_block = groups_of_block(kernels_);
    const int threads = pool_.threads();

    // Some four items a thread: pieces of the channels, whole blocks each, and of the tiles.
    const int channel_pieces = std::min(quotient_up(source.count, per_block), 4 * threads);
    const int tile_pieces = std::min(quotient_up(4 * threads, channel_pieces), quotient_up(tiles, 4));
    struct Largest {
        uint16_t of_row[kLargestTile];
    };
    std::vector<Largest> largest_of_item(channel_pieces * tile_pieces, Largest{});
    pool_.run(channel_pieces * tile_pieces, [&](int item, int) {
        const Piece c = piece(quotient_up(source.count, per_block), channel_pieces, item / tile_pieces);
        const Piece t = piece(tiles, tile_pieces, item % tile_pieces);
        const int first = c.first * per_block, groups = std::min(c.count * per_block, source.count - first);
        if (t.count > 0 && groups > 0)
            transforms.input({&source, tiles_x, tiles_y, t.first, t.count, first, groups,
                              operands + t.first * row, position, row, largest_of_item[item].of_row});
    });
    Largest largest{};
    for (const Largest& of_item : largest_of_item)
        for (int i = 0; i < kLargestTile; ++i) largest.of_row[i] = std::max(largest.of_row[i], of_item.of_row[i]);

    // Output channels are dealt out: each weight is read by one thread. Narrower pieces, then pieces of the tiles, where
    // there are too few of them.
    const ptrdiff_t group_bytes = ptrdiff_t{positions} * steps * 64;
    struct Item {
        OutputBlock block;
        int column, columns;
        Piece tiles;
    };
    std::vector<Item> items;
    const auto blocks = output_blocks(target.count, group_bytes);
    const int width = target.count >= 4 * threads ? 4 : target.count >= 2 * threads ? 2 : 1;
    const int pieces_of_tiles = std::clamp(quotient_up(threads, target.count), 1, std::max(1, tiles / 6));
    for (const OutputBlock& block : blocks)
        for (int column = 0; column < block.count; column += width)
            for (int i = 0; i < pieces_of_tiles; ++i)
                items.push_back({block, column, std::min(width, block.count - column), piece(tiles, pieces_of_tiles, i)});
    const ptrdiff_t sums_row = kMostColumns * 64, sums_position = sums_row * (quotient_up(tiles, pieces_of_tiles) + 1) + kRowPadding;
    need_own(positions * sums_position);
    const char* weights = reinterpret_cast<const char*>(program_->weights + step.weights);
    pool_.run(static_cast<int>(items.size()), [&](int index, int worker) {
        const Item& item = items[index];
        char* sums = own(worker);
        const ptrdiff_t step_bytes = item.block.count * 64;
        for (int p = 0; p < positions; ++p)
            kernels_.product({operands + p * position + item.tiles.first * row,
                              weights + item.block.weights + p * steps * step_bytes + item.column * 64, steps,
                              item.tiles.count, item.columns, row, step_bytes, sums + p * sums_position, sums_row, false,
                              true, proven_steps(step.eight_pairs, largest.of_row[p / tile])});
        transforms.output({sums, sums_position, sums_row, tiles_x, tiles_y, item.tiles.first, item.tiles.count,
                           item.block.first + item.column, item.columns, &target, finish});
    });
}

void Session::direct(const Step& step, char* scratch) {
    const Blocked source = blocked(step.source), target = blocked(step.target);
    const int height = source.height, width = source.width, dilation = step.dilation;
    const int blocks = quotient_up(source.count, groups_of_block(kernels_));
    const Interleaved copy = interleaved(kernels_, source.count, height, width);
    const int threads = pool_.threads();
    pool_.run(blocks * images_, [&](int item, int) {
        const int image = item / blocks, block = item % blocks;
        kernels_.interleave({&source, image, block, scratch + image * copy.image + block * copy.block, copy.row, copy.pixel});
    });

    const int steps = source.count * kGroup * kernels_.bytes_of_transformed / 4;
    const ptrdiff_t group_bytes = ptrdiff_t{9} * steps * 64;
    const auto output = output_blocks(target.count, group_bytes);
    const ptrdiff_t sums_row = kMostColumns * 64, sums_line = width * sums_row;
    const int lines_at_once = std::max(1, static_cast<int>(kSumsBytes / sums_line));
    const int bands = std::min(height * images_, std::max(quotient_up(4 * threads, static_cast<int>(output.size())) + 1,
                                                          quotient_up(height * images_, lines_at_once)));
    need_own(quotient_up(height * images_, bands) * sums_line);
    const char* weights = reinterpret_cast<const char*>(program_->weights + step.weights);
    const Epilogue finish = epilogue(step);
    const int chunk = proven_steps(step.eight_pairs, kHighestLevel);
    pool_.run(static_cast<int>(output.size()) * bands, [&](int item, int worker) {
        const OutputBlock& out = output[item / bands];
        const Piece lines = piece(height * images_, bands, item % bands);
        char* sums = own(worker);
        const ptrdiff_t step_bytes = out.count * 64;
        // One panel of weights, with all pixels that it meets inside of the image.
        auto add = [&](int column, int tap, int first) {
            const int dy = (tap / 3 - 1) * dilation, dx = (tap % 3 - 1) * dilation;
            const int left = std::max(0, -dx), right = width - std::max(0, dx);
            if (left >= right) return;
            const char* panel = weights + out.weights + (ptrdiff_t{tap} * steps + first) * step_bytes + column * 64;
            bool fetch = true;
            for (int i = 0; i < lines.count; ++i) {
                const int image = (lines.first + i) / height, from = (lines.first + i) % height + dy;
                if (from < 0 || from >= height) continue;
                kernels_.product({scratch + image * copy.image + from * copy.row + (left + dx) * copy.pixel + first * 4, panel,
                                  std::min(kernels_.steps_of_panel, steps - first), right - left,
                                  std::min(kernels_.columns, out.count - column), copy.pixel, step_bytes,
                                  sums + i * sums_line + left * sums_row + column * 64, sums_row,
                                  tap != kTaps[0] || first > 0, fetch, chunk});
                fetch = false;
            }
        };
        for (int column = 0; column < out.count; column += kernels_.columns)
            for (int tap : kTaps)
                for (int first = 0; first < steps; first += kernels_.steps_of_panel) add(column, tap, first);
        for (int i = 0; i < lines.count; ++i)
            kernels_.store_sums({sums + i * sums_line, sums_row, (lines.first + i) / height, (lines.first + i) % height, 0,
                                 width, out.first, out.count, &target, finish});
    });
}

void Session::side_convolution(const Step& step) {
    const Blocked source = blocked(step.source);
    const Planar target = planar(step.target);
    constexpr int rows = 4;
    const int pieces = quotient_up(source.height, rows);
    pool_.run(pieces * images_, [&](int item, int) {
        const int first = item % pieces * rows;
        kernels_.side_convolution({&source, program_->floats(step.weights), program_->floats(step.addend), &target,
                                   item / pieces, first, std::min(rows, source.height - first)});
    });
}

void Session::pointwise_convolution(const Step& step) {
    const Planar source = planar(step.source), target = planar(step.target);
    const float* weights = program_->floats(step.weights);
    const float* addend = program_->floats(step.addend);
    const ptrdiff_t pixels = target.channel;
    constexpr ptrdiff_t run = 4096;
    const int pieces = static_cast<int>((pixels + run - 1) / run);
    pool_.run(pieces * images_, [&](int item, int) {
        const int image = item / pieces;
        const ptrdiff_t first = item % pieces * run, count = std::min(run, pixels - first);
        for (int o = 0; o < target.channels; ++o) {
            float* out = target.data + image * target.image + o * target.channel + first;
            std::fill(out, out + count, addend[o]);
            for (int c = 0; c < source.channels; ++c) {
                const float w = weights[o * source.channels + c];
                const float* in = source.data + image * source.image + c * source.channel + first;
                for (ptrdiff_t i = 0; i < count; ++i) out[i] += w * in[i];
            }
        }
    });
}

void Session::resize(const Step& step) {
    const Blocked source = blocked(step.source), target = blocked(step.target);
    const int per_block = groups_of_block(kernels_);
    const int pairs = quotient_up(target.count, per_block);
    const int bands = std::clamp(quotient_up(8 * pool_.threads(), pairs), 1, target.height);
    pool_.run(images_ * pairs * bands, [&](int item, int) {
        const int image = item / (pairs * bands), first = item / bands % pairs * per_block;
        const Piece lines = piece(target.height, bands, item % bands);
        kernels_.resize({&source, &target, image, first, std::min(per_block, target.count - first), lines.first, lines.count});
    });
}

void Session::rows(const Step& step, void (*kernel)(const Rows&)) {
    const Blocked source = blocked(step.source), target = blocked(step.target);
    const Blocked other = step.residual ? blocked(step.residual) : Blocked{};
    const int per_block = groups_of_block(kernels_);
    const int pairs = quotient_up(target.count, per_block);
    const int bands = std::clamp(quotient_up(4 * pool_.threads(), pairs), 1, target.height);
    pool_.run(images_ * pairs * bands, [&](int item, int) {
        const int image = item / (pairs * bands), first = item / bands % pairs * per_block;
        const Piece lines = piece(target.height, bands, item % bands);
        kernel({&source, step.residual ? &other : nullptr, &target, program_->floats(step.multiplier),
                program_->floats(step.residual_multiplier), image, first, std::min(per_block, target.count - first),
                lines.first, lines.count});
    });
}

void Session::resize_planar(const Step& step) {
    const Planar source = planar(step.source), target = planar(step.target);
    struct Place {
        int low, high;
        float share;
    };
    auto places = [](int to, int from) {
        std::vector<Place> all;
        for (int i = 0; i < to; ++i) {
            const float at = to > 1 ? std::max(0.0f, (static_cast<float>(i) + 0.5f) * static_cast<float>(from) /
                                                             static_cast<float>(to) - 0.5f)
                                    : 0.0f;
            const int low = std::min(static_cast<int>(at), from - 1), high = std::min(low + 1, from - 1);
            all.push_back({low, high, high == low ? 0.0f : at - static_cast<float>(low)});
        }
        return all;
    };
    const auto down = places(target.height, source.height), right = places(target.width, source.width);
    constexpr int rows = 16;
    const int pieces = quotient_up(target.height, rows);
    need_own(source.width * sizeof(float));
    pool_.run(pieces * images_ * source.channels, [&](int item, int worker) {
        const int plane = item / pieces, image = plane / source.channels, c = plane % source.channels;
        const float* in = source.data + image * source.image + c * source.channel;
        float* out = target.data + image * target.image + c * target.channel;
        float* line = reinterpret_cast<float*>(own(worker));
        for (int y = item % pieces * rows; y < std::min(target.height, (item % pieces + 1) * rows); ++y) {
            const float *upper = in + down[y].low * source.row, *lower = in + down[y].high * source.row;
            for (int x = 0; x < source.width; ++x) line[x] = upper[x] + down[y].share * (lower[x] - upper[x]);
            for (int x = 0; x < target.width; ++x)
                out[y * target.row + x] = line[right[x].low] + right[x].share * (line[right[x].high] - line[right[x].low]);
        }
    });
}

void Session::planar_copy(const Step& step) {
    const Planar source = planar(step.source), target = planar(step.target);
    for (int image = 0; image < images_; ++image)
        std::memcpy(target.data + image * target.image, source.data + image * source.image,
                    source.channels * source.channel * sizeof(float));
}

void Session::sigmoid(const Step& step) {
    const Planar source = planar(step.source), target = planar(step.target);
    constexpr ptrdiff_t run = 4096;
    const ptrdiff_t numbers = source.channels * source.channel;
    const int pieces = static_cast<int>((numbers + run - 1) / run);
    pool_.run(pieces * images_, [&](int item, int) {
        const ptrdiff_t first = item % pieces * run, end = std::min(numbers, first + run);
        const float* in = source.data + item / pieces * source.image;
        float* out = target.data + item / pieces * target.image;
        for (ptrdiff_t i = first; i < end; ++i) out[i] = 1.0f / (1.0f + std::exp(-in[i]));
    });
}

}  // namespace u2forge
