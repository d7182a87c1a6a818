// Tables with random entries corrupted: a program is either refused as invalid, or runs without touching what is not
// its own (which the sanitizers tell). Arguments: number of corrupted programs, seed.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include "../src/executor.h"
#include "../src/processor.h"
#include "random_program.h"

namespace u2forge::test {
namespace {

int64_t corrupted(int64_t value, Random& random) {
    constexpr int64_t extremes[] = {std::numeric_limits<int64_t>::min(),
                                    std::numeric_limits<int64_t>::max(),
                                    std::numeric_limits<int32_t>::min(),
                                    std::numeric_limits<int32_t>::max(),
                                    int64_t{1} << 32,
                                    int64_t{1} << 62,
                                    -2,
                                    -1,
                                    0,
                                    1,
                                    kMostSide,
                                    kMostChannels,
                                    1 << 20};
    switch (within(random, 0, 5)) {
        case 0: return extremes[within(random, 0, static_cast<int>(std::size(extremes)) - 1)];
        case 1: return value + within(random, 0, 1) * 2 - 1;
        case 2: return value ^ int64_t{1} << within(random, 0, 63);
        case 3: {
            const auto moved = 64 * static_cast<uint64_t>(within(random, 0, 200) - 100);
            return static_cast<int64_t>(static_cast<uint64_t>(value) + moved);
        }
        case 4: return static_cast<int64_t>(random());
        default: return within(random, 0, 12);
    }
}

Encoded corrupted(const Encoded& whole, Random& random) {
    Encoded e = whole;
    for (int n = within(random, 1, 3); n > 0; --n) {
        std::vector<int64_t>& table = chance(random, 0.35) ? e.buffers : e.steps;
        const int columns = &table == &e.buffers ? kBufferColumns : kStepColumns;
        const int rows = static_cast<int>(table.size()) / columns;
        if (rows == 0) continue;
        // The last columns of a step mean nothing.
        const int row = within(random, 0, rows - 1), column = within(random, 0, std::min(columns, 20) - 1);
        const int other = within(random, 0, rows - 1);
        int64_t& entry = table[row * columns + column];
        switch (within(random, 0, 11)) {
            case 0: entry = table[other * columns + column]; break;
            case 1: table.erase(table.begin() + row * columns, table.begin() + (row + 1) * columns); break;
            case 2:
                std::swap_ranges(&table[row * columns], &table[row * columns] + columns, &table[other * columns]);
                break;
            case 3:
                if (e.weights.size() > 1) e.weights.resize(within(random, 0, static_cast<int>(e.weights.size()) - 1));
                break;
            case 4:
                e.precision = static_cast<Precision>(within(random, 0, 2));
                break;
            default: entry = corrupted(entry, random);
        }
    }
    return e;
}

// So little memory and work that thousands run in seconds.
bool affordable(const Program& p) {
    int64_t numbers = 0;
    for (const Buffer& b : p.buffers)
        numbers += int64_t{b.count} * (b.layout == Layout::blocked ? kGroup : 1) * (b.height + 7) * (b.width + 7);
    if (numbers > 300000) return false;
    for (const Step& s : p.steps) {
        const Buffer& b = p.buffers[s.target.buffer];
        // A copy, or one part for each row and column of the dilation.
        const int64_t d = s.dilation, groups = s.source.count + s.target.count;
        const int64_t pixels = s.winograd() ? (b.height + 8 * d) * (b.width + 8 * d) : int64_t{b.height} * b.width;
        if (s.kind == Kind::convolution && pixels * groups > 50000) return false;
        if (int64_t{s.source.count} * s.target.count * b.height * b.width > 20000) return false;
    }
    return true;
}

void run(const std::shared_ptr<const Program>& program, Random& random) {
    const std::vector<std::string> levels = usable_levels();
    const KernelsOf kernels = kernels_of_level(levels[within(random, 0, static_cast<int>(levels.size()) - 1)]);
    if (!kernels(program->precision)) return;
    const int images = within(random, 1, 2);
    const auto inputs = random_inputs(*program, images, random), outputs = empty_outputs(*program, images);
    std::vector<const void*> in;
    std::vector<void*> out;
    for (const ExactBytes& a : inputs) in.push_back(a.data());
    for (const ExactBytes& a : outputs) out.push_back(a.data());
    Session session(program, kernels, within(random, 1, 2));
    session.run(in, out, images, nullptr);
}

}  // namespace
}  // namespace u2forge::test

int main(int argc, char** argv) {
    using namespace u2forge::test;
    using u2forge::Precision;
    using u2forge::Program;
    const int count = argc > 1 ? std::atoi(argv[1]) : 20000;
    Random random(argc > 2 ? std::atoi(argv[2]) : 1);
    int refused = 0, ran = 0, too_large = 0;
    Options options;
    options.steps = 6;
    options.most_groups = 3;
    options.most_side = 9;
    options.large = false;
    options.most_work = 200;
    Encoded whole;
    for (int i = 0; i < count; ++i) {
        if (i % 50 == 0) whole = random_network(static_cast<Precision>(i / 50 % 3), options, random).encoded;
        const Encoded broken = i % 50 == 0 ? whole : corrupted(whole, random);
        const ExactBytes weights = exact_copy(broken.weights);
        try {
            const auto program = std::make_shared<const Program>(broken.precision, broken.buffers, broken.steps,
                                                                 weights.data(), weights.size());
            if (affordable(*program)) {
                run(program, random);
                ++ran;
            } else {
                ++too_large;
            }
        } catch (const std::invalid_argument&) {
            if (i % 50 == 0) {
                std::fprintf(stderr, "FAILED: a valid program was refused\n");
                return 1;
            }
            ++refused;
        } catch (const std::exception& error) {
            std::fprintf(stderr, "FAILED: corruption %d: %s\n", i, error.what());
            return 1;
        }
    }
    std::printf("%d corrupted programs: %d refused, %d ran, %d too large to be run here\n", count, refused, ran,
                too_large);
    // Else the tables were no longer near to valid ones, and nothing was tested.
    return ran > count / 20 && refused > count / 20 ? 0 : 1;
}
