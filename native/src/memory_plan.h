// Where each buffer lies in one arena: buffers that are never alive together share memory.
#pragma once

#include <cstddef>
#include <vector>

namespace u2forge {

struct Lifetime {
    size_t bytes;
    int first, last;  // steps, inclusive; first > last: it needs no memory
};

struct MemoryPlan {
    std::vector<size_t> offsets;  // multiples of 4096
    size_t bytes;
};

// The largest first, each at the lowest place that is free for as long as it lives.
MemoryPlan plan_memory(const std::vector<Lifetime>& buffers);

}  // namespace u2forge
