#include "aligned_memory.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(_WIN32)
#include <malloc.h>
#elif defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace u2forge {
namespace {
constexpr size_t kHuge = size_t{1} << 21;
}

#if defined(_WIN32)
void FreeMemory::operator()(char* p) const { _aligned_free(p); }
#else
void FreeMemory::operator()(char* p) const { std::free(p); }
#endif

Memory allocate(size_t bytes) {
    const size_t alignment = bytes >= kHuge ? kHuge : 4096;
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
#if defined(_WIN32)
    void* p = _aligned_malloc(rounded ? rounded : alignment, alignment);
    if (!p) throw std::bad_alloc();
#else
    void* p = nullptr;
    if (posix_memalign(&p, alignment, rounded ? rounded : alignment) != 0) throw std::bad_alloc();
#if defined(__linux__)
    // A wish: containers may refuse it, and small pages do.
    if (rounded >= kHuge) madvise(p, rounded, MADV_HUGEPAGE);
#endif
#endif
    std::memset(p, 0, rounded ? rounded : alignment);
    return Memory(static_cast<char*>(p), FreeMemory{rounded});
}

void release_free_memory() {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

}  // namespace u2forge
