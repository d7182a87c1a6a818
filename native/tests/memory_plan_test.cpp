// Memory plans of random lifetimes: buffers that live at the same time never overlap. Argument: number of plans.
#include "../src/memory_plan.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

namespace u2forge {
namespace {

[[noreturn]] void fail(int seed, const char* what) {
    std::fprintf(stderr, "FAILED: seed %d: %s\n", seed, what);
    std::exit(1);
}

bool needs_memory(const Lifetime& b) { return b.first <= b.last && b.bytes > 0; }

std::vector<Lifetime> random_lifetimes(std::mt19937& random) {
    const int steps = 1 + static_cast<int>(random() % 60);
    std::vector<Lifetime> buffers(random() % 50);
    for (Lifetime& b : buffers) {
        constexpr size_t sizes[] = {0, 1, 64, 4095, 4096, 4097, 8192};
        b.bytes = random() % 2 ? sizes[random() % std::size(sizes)] : random() % 2000000;
        b.first = static_cast<int>(random() % steps);
        b.last = std::min(steps - 1, b.first + static_cast<int>(random() % 12));
        if (random() % 10 == 0) b = {b.bytes, 1, 0};
    }
    return buffers;
}

void check(const std::vector<Lifetime>& buffers, const MemoryPlan& plan, int seed) {
    if (plan.offsets.size() != buffers.size()) fail(seed, "a place for each buffer");
    size_t all = 0, most_at_once = 0;
    for (size_t i = 0; i < buffers.size(); ++i) {
        const Lifetime& b = buffers[i];
        if (!needs_memory(b)) continue;
        if (plan.offsets[i] % 4096 != 0) fail(seed, "not at a page");
        if (plan.offsets[i] + b.bytes > plan.bytes) fail(seed, "behind the end");
        all += (b.bytes + 4095) / 4096 * 4096;
        size_t at_once = 0;
        for (size_t j = 0; j < buffers.size(); ++j) {
            const Lifetime& o = buffers[j];
            if (!needs_memory(o)) continue;
            if (o.first <= b.first && b.first <= o.last) at_once += o.bytes;
            if (i == j || o.last < b.first || b.last < o.first) continue;
            if (plan.offsets[i] < plan.offsets[j] + o.bytes && plan.offsets[j] < plan.offsets[i] + b.bytes)
                fail(seed, "two that live at once overlap");
        }
        most_at_once = std::max(most_at_once, at_once);
    }
    if (plan.bytes > all) fail(seed, "more than all buffers side by side");
    if (plan.bytes < most_at_once) fail(seed, "less than what lives at once");
}

}  // namespace
}  // namespace u2forge

int main(int argc, char** argv) {
    using namespace u2forge;
    const int count = argc > 1 ? std::atoi(argv[1]) : 5000;
    for (int seed = 0; seed < count; ++seed) {
        std::mt19937 random(seed);
        const auto buffers = random_lifetimes(random);
        check(buffers, plan_memory(buffers), seed);
    }
    std::printf("%d memory plans\n", count);
    return 0;
}
