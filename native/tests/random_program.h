// Random programs such as a model could become: tables, packed weights, and how far each output may differ by level.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "../src/program.h"

namespace u2forge::test {

using Random = std::mt19937_64;

inline int within(Random& random, int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }
inline bool chance(Random& random, double share) { return std::uniform_real_distribution<double>()(random) < share; }

struct Encoded {
    Precision precision;
    std::vector<int64_t> buffers, steps;
    std::vector<uint8_t> weights;
};

struct Options {
    int steps = 8;
    int most_groups = 7;
    int most_side = 40;
    bool large = true;         // also pictures of so many tiles that these are dealt to the threads
    bool saturating = false;   // int16: one convolution whose sums leave 32 bits
    int64_t most_work = 6000;  // of a convolution: pixels × groups × groups
};

struct Network {
    Encoded encoded;
    // Of each output: what it may differ by. int16: in its own unit, float32 and bfloat16: in units of how far one
    // convolution may be off.
    std::vector<double> slack;
    std::vector<bool> levels;  // it shows the levels of a blocked buffer
    int convolutions = 0, other_steps = 0;
};

Network random_network(Precision precision, const Options& options, Random& random);

// Bytes that begin at a multiple of 64 and end where they end, so that a sanitizer sees who reads further.
class ExactBytes {
   public:
    explicit ExactBytes(size_t bytes) : bytes_(bytes), data_(new (std::align_val_t{64}) uint8_t[bytes ? bytes : 1]) {}
    uint8_t* data() const { return data_.get(); }
    size_t size() const { return bytes_; }

   private:
    struct Free {
        void operator()(uint8_t* p) const { ::operator delete[](p, std::align_val_t{64}); }
    };
    size_t bytes_;
    std::unique_ptr<uint8_t[], Free> data_;
};

ExactBytes exact_copy(const std::vector<uint8_t>& bytes);

// A program's arrays for `images` pictures. Inputs: noise, checkerboards, extremes. Outputs: not-a-numbers.
std::vector<ExactBytes> random_inputs(const Program& program, int images, Random& random);
std::vector<ExactBytes> empty_outputs(const Program& program, int images);
size_t numbers_of_image(const Buffer& buffer);

}  // namespace u2forge::test
