#include "memory_plan.h"

#include <algorithm>
#include <numeric>

namespace u2forge {
namespace {

struct Placed {
    ptrdiff_t begin, end;
    int first, last;
};

// The parts that need memory, as they lie where the buffer begins at 0.
std::vector<Placed> living(const Parts& parts) {
    std::vector<Placed> found;
    ptrdiff_t begin = 0;
    for (const Lifetime& part : parts) {
        const ptrdiff_t end = begin + static_cast<ptrdiff_t>(part.bytes);
        if (part.first <= part.last && part.bytes > 0) {
            // Neighbours of one lifetime are one.
            const bool joins = !found.empty() && found.back().end == begin && found.back().first == part.first &&
                               found.back().last == part.last;
            if (joins) found.back().end = end;
            else found.push_back({begin, end, part.first, part.last});
        }
        begin = end;
    }
    return found;
}

ptrdiff_t rounded(ptrdiff_t bytes) {
    constexpr ptrdiff_t page = 4096;
    return (bytes + page - 1) / page * page;
}

// The lowest place of a buffer of these parts.
ptrdiff_t lowest_place(const std::vector<Placed>& parts, const std::vector<Placed>& placed) {
    struct Taken {
        ptrdiff_t after, before;  // no place between the two
    };
    std::vector<Taken> taken;
    for (const Placed& part : parts)
        for (const Placed& other : placed)
            if (part.first <= other.last && other.first <= part.last)
                taken.push_back({other.begin - part.end, other.end - part.begin});
    std::sort(taken.begin(), taken.end(), [](const Taken& a, const Taken& b) { return a.after < b.after; });
    ptrdiff_t place = 0;
    for (const Taken& one : taken) {
        if (place <= one.after) break;
        place = std::max(place, rounded(one.before));
    }
    return place;
}

// In that order, each at its lowest place.
MemoryPlan in_order(const std::vector<std::vector<Placed>>& parts, const std::vector<size_t>& order) {
    MemoryPlan plan{std::vector<size_t>(parts.size(), 0), 0};
    std::vector<Placed> placed;
    for (const size_t index : order) {
        if (parts[index].empty()) continue;
        const ptrdiff_t place = lowest_place(parts[index], placed);
        plan.offsets[index] = static_cast<size_t>(place);
        plan.bytes = std::max(plan.bytes, static_cast<size_t>(rounded(place + parts[index].back().end)));
        for (const Placed& part : parts[index])
            placed.push_back({place + part.begin, place + part.end, part.first, part.last});
    }
    return plan;
}

// How many of the largest buffers are tried in the first place.
constexpr size_t kTried = 5;

}  // namespace

MemoryPlan plan_memory(const std::vector<Parts>& buffers) {
    std::vector<std::vector<Placed>> parts;
    for (const Parts& buffer : buffers) parts.push_back(living(buffer));
    std::vector<size_t> order(buffers.size());
    std::iota(order.begin(), order.end(), size_t{0});
    auto end_of = [&](size_t index) { return parts[index].empty() ? ptrdiff_t{0} : parts[index].back().end; };
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return end_of(a) > end_of(b); });
    MemoryPlan best = in_order(parts, order);
    for (size_t i = 1; i < std::min(order.size(), kTried); ++i) {
        std::vector<size_t> other = order;
        std::rotate(other.begin(), other.begin() + i, other.begin() + i + 1);
        MemoryPlan plan = in_order(parts, other);
        if (plan.bytes < best.bytes) best = std::move(plan);
    }
    return best;
}

}  // namespace u2forge
