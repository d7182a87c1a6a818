// Where each buffer lies in one arena: what is never alive at the same time may share memory.
#pragma once

#include <cstddef>
#include <vector>

namespace u2forge {

struct Lifetime {
    size_t bytes;
    int first, last;  // steps, inclusive; first > last: it needs no memory
};

// The parts of a buffer, in their order in memory: one that is joined of an early and a late half leaves the late one's
// place to others until then.
using Parts = std::vector<Lifetime>;

struct MemoryPlan {
    std::vector<size_t> offsets;  // of each buffer's first part; multiples of 4096
    size_t bytes;
};

// The largest first, each at the lowest place where all its parts are free for as long as they live; with each of the largest
// few in the first place, and the smallest plan of these.
MemoryPlan plan_memory(const std::vector<Parts>& buffers);

}  // namespace u2forge
