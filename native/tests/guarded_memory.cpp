// In place of aligned_memory.cpp and memory_plan.cpp, for the address sanitizer: buffers share no memory, behind each
// lies some that nobody may touch, and nothing is zero at first.
#include <sanitizer/asan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "../src/aligned_memory.h"
#include "../src/memory_plan.h"

namespace u2forge {
namespace {

constexpr size_t kPage = 4096;
size_t rounded(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

struct Hole {
    size_t offset, bytes;
};
// Of the plan that this thread made last; the next memory of that size is its arena.
thread_local std::vector<Hole> holes;
thread_local size_t planned = 0;

}  // namespace

MemoryPlan plan_memory(const std::vector<Parts>& buffers) {
    MemoryPlan plan{{}, 0};
    holes.clear();
    for (const Parts& parts : buffers) {
        size_t bytes = 0;
        bool lives = false;
        for (const Lifetime& part : parts) {
            bytes += part.bytes;
            lives = lives || (part.first <= part.last && part.bytes > 0);
        }
        plan.offsets.push_back(plan.bytes);
        if (!lives) continue;
        const size_t end = rounded(bytes) + kPage;
        holes.push_back({plan.bytes + bytes, end - bytes});
        plan.bytes += end;
    }
    planned = plan.bytes;
    return plan;
}

void FreeMemory::operator()(char* p) const {
    ASAN_UNPOISON_MEMORY_REGION(p, bytes);
    std::free(p);
}

Memory allocate(size_t bytes) {
    void* p = nullptr;
    if (bytes > size_t{1} << 31 || posix_memalign(&p, kPage, bytes ? bytes : 1) != 0) throw std::bad_alloc();
    std::memset(p, 0xff, bytes);
    if (bytes == planned && bytes > 0) {
        for (const Hole& hole : holes) ASAN_POISON_MEMORY_REGION(static_cast<char*>(p) + hole.offset, hole.bytes);
        planned = 0;
    }
    return Memory(static_cast<char*>(p), FreeMemory{bytes});
}

namespace {
// A function that only looks like the core's would leave the core's own in place, and guard nothing.
[[maybe_unused]] const bool guards = [] {
    const std::vector<Parts> one_after_the_other{{{100, 0, 0}}, {{100, 1, 1}}};
    if (plan_memory(one_after_the_other).offsets[1] >= 2 * kPage) return true;
    std::fputs("FAILED: memory is planned by the core itself\n", stderr);
    std::abort();
}();
}  // namespace

}  // namespace u2forge
