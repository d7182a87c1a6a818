// Zeroed memory, aligned to 2 MiB and in huge pages where the system gives them.
#pragma once

#include <cstddef>
#include <memory>

namespace u2forge {

struct FreeMemory {
    size_t bytes = 0;
    void operator()(char* p) const;
};
using Memory = std::unique_ptr<char[], FreeMemory>;

// Throws std::bad_alloc.
Memory allocate(size_t bytes);

// What malloc keeps of freed memory, back to the system; nothing where it cannot be told to (all but glibc).
void release_free_memory();

}  // namespace u2forge
