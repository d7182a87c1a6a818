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

std::vector<Parts> random_lifetimes(std::mt19937& random) {
    const int steps = 1 + static_cast<int>(random() % 60);
    std::vector<Parts> buffers(random() % 30);
    for (Parts& parts : buffers) {
        parts.resize(random() % 3 ? 1 : random() % 4);
        for (Lifetime& b : parts) {
            constexpr size_t sizes[] = {0, 1, 64, 4095, 4096, 4097, 8192};
            b.bytes = random() % 2 ? sizes[random() % std::size(sizes)] : random() % 2000000;
            b.first = static_cast<int>(random() % steps);
            b.last = std::min(steps - 1, b.first + static_cast<int>(random() % 12));
            if (random() % 10 == 0) b = {b.bytes, 1, 0};
        }
    }
    return buffers;
}

struct Part {
    Lifetime life;
    size_t begin, end;
};

void check(const std::vector<Parts>& buffers, const MemoryPlan& plan, int seed) {
    if (plan.offsets.size() != buffers.size()) fail(seed, "a place for each buffer");
    size_t all = 0, most_at_once = 0;
    std::vector<Part> parts;
    for (size_t i = 0; i < buffers.size(); ++i) {
        if (plan.offsets[i] % 4096 != 0) fail(seed, "not at a page");
        size_t begin = plan.offsets[i];
        for (const Lifetime& b : buffers[i]) {
            if (needs_memory(b)) parts.push_back({b, begin, begin + b.bytes});
            begin += b.bytes;
        }
        all += (begin - plan.offsets[i] + 4095) / 4096 * 4096;
    }
    for (const Part& a : parts) {
        if (a.end > plan.bytes) fail(seed, "behind the end");
        size_t at_once = 0;
        for (const Part& o : parts) {
            if (o.life.first <= a.life.first && a.life.first <= o.life.last) at_once += o.life.bytes;
            if (&a == &o || o.life.last < a.life.first || a.life.last < o.life.first) continue;
            if (a.begin < o.end && o.begin < a.end) fail(seed, "two that live at once overlap");
        }
        most_at_once = std::max(most_at_once, at_once);
    }
    if (plan.bytes > all) fail(seed, "more than all buffers side by side");
    if (plan.bytes < most_at_once) fail(seed, "less than what lives at once");
}

// A buffer whose second half comes late: another one lives in its place until then.
void check_late_half() {
    const MemoryPlan plan = plan_memory({{{8192, 0, 9}, {8192, 6, 9}}, {{8192, 1, 5}}, {{4096, 1, 5}}});
    if (plan.bytes != 20480) fail(0, "the late half's place is not used");
}

// The largest first would take 28672 bytes: its place at 0 keeps two of the others apart that would fit below it.
void check_order() {
    const MemoryPlan plan = plan_memory({{{12288, 0, 1}}, {{8192, 1, 2}}, {{8192, 3, 3}}, {{8192, 2, 5}}});
    if (plan.bytes != 20480) fail(0, "another buffer in the first place takes less");
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
    check_late_half();
    check_order();
    std::printf("%d memory plans\n", count);
    return 0;
}
