#include "memory_plan.h"

#include <algorithm>
#include <numeric>

namespace u2forge {

MemoryPlan plan_memory(const std::vector<Lifetime>& buffers) {
    constexpr size_t page = 4096;
    auto rounded = [](size_t bytes) { return (bytes + page - 1) / page * page; };
    std::vector<size_t> order(buffers.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return buffers[a].bytes > buffers[b].bytes; });
    MemoryPlan plan{std::vector<size_t>(buffers.size(), 0), 0};
    std::vector<size_t> placed;  // by offset
    for (const size_t index : order) {
        const Lifetime& buffer = buffers[index];
        if (buffer.first > buffer.last) continue;
        size_t offset = 0;
        for (const size_t other : placed) {
            const Lifetime& neighbour = buffers[other];
            if (neighbour.last < buffer.first || buffer.last < neighbour.first) continue;
            if (offset + rounded(buffer.bytes) <= plan.offsets[other]) break;
            offset = std::max(offset, plan.offsets[other] + rounded(neighbour.bytes));
        }
        plan.offsets[index] = offset;
        plan.bytes = std::max(plan.bytes, offset + rounded(buffer.bytes));
        placed.insert(std::upper_bound(placed.begin(), placed.end(), offset,
                                       [&](size_t value, size_t other) { return value < plan.offsets[other]; }),
                      index);
    }
    return plan;
}

}  // namespace u2forge
