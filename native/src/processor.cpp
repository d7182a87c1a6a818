#include "processor.h"

#include <cstdint>

#if defined(_MSC_VER) && defined(_M_X64)
#include <intrin.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#endif

namespace u2forge {

namespace portable {
const Kernels* kernels(Precision);
}
namespace avx2 {
const Kernels* kernels(Precision);
}
namespace avx2_vnni {
const Kernels* kernels(Precision);
}
namespace avx512 {
const Kernels* kernels(Precision);
}
namespace avx512_vnni {
const Kernels* kernels(Precision);
}
namespace avx512_vnni_bf16 {
const Kernels* kernels(Precision);
}

namespace {

struct Features {
    bool avx2 = false, avx2_vnni = false, avx512 = false, avx512_vnni = false, avx512_vnni_bf16 = false;
};

#if defined(__x86_64__) || (defined(_MSC_VER) && defined(_M_X64))

struct Registers {
    uint32_t eax, ebx, ecx, edx;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
    Registers r{};
#if defined(_MSC_VER)
    int values[4];
    __cpuidex(values, static_cast<int>(leaf), static_cast<int>(subleaf));
    r = {uint32_t(values[0]), uint32_t(values[1]), uint32_t(values[2]), uint32_t(values[3])};
#else
    __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
#endif
    return r;
}

// The registers that the operating system saves; what it does not save cannot be used.
uint64_t saved_state() {
#if defined(_MSC_VER)
    return _xgetbv(0);
#else
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return uint64_t{high} << 32 | low;
#endif
}

bool bit(uint32_t value, int index) { return (value >> index & 1) != 0; }

// Source: Intel, Architectures Software Developer's Manual, volume 2A, CPUID.
Features find_features() {
    Features f;
    const Registers one = cpuid(1, 0), seven = cpuid(7, 0), seven_one = cpuid(7, 1);
    if (!bit(one.ecx, 27)) return f;  // OSXSAVE
    const uint64_t saved = saved_state();
    const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6;
    f.avx2 = ymm && bit(seven.ebx, 5) && bit(one.ecx, 12) && bit(one.ecx, 29);  // AVX2, FMA, F16C
    f.avx2_vnni = f.avx2 && bit(seven_one.eax, 4);
    f.avx512 = f.avx2 && zmm && bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) && bit(seven.ebx, 31);
    f.avx512_vnni = f.avx512 && bit(seven.ecx, 11);
    f.avx512_vnni_bf16 = f.avx512_vnni && bit(seven_one.eax, 5);
    return f;
}

#else

Features find_features() { return {}; }

#endif

struct Level {
    const char* name;
    bool here;
    KernelsOf kernels;
};

const std::vector<Level>& levels() {
    static const std::vector<Level> all = [] {
        const Features f = find_features();
        (void)f;
        std::vector<Level> found;
#ifdef U2FORGE_HAS_AVX512_VNNI_BF16
        found.push_back({"avx512_vnni_bf16", f.avx512_vnni_bf16, avx512_vnni_bf16::kernels});
#endif
#ifdef U2FORGE_HAS_AVX512_VNNI
        found.push_back({"avx512_vnni", f.avx512_vnni, avx512_vnni::kernels});
#endif
#ifdef U2FORGE_HAS_AVX512
        found.push_back({"avx512", f.avx512, avx512::kernels});
#endif
#ifdef U2FORGE_HAS_AVX2_VNNI
        found.push_back({"avx2_vnni", f.avx2_vnni, avx2_vnni::kernels});
#endif
#ifdef U2FORGE_HAS_AVX2
        found.push_back({"avx2", f.avx2, avx2::kernels});
#endif
        found.push_back({"portable", true, portable::kernels});
        return found;
    }();
    return all;
}

}  // namespace

std::vector<std::string> usable_levels() {
    std::vector<std::string> names;
    for (const Level& level : levels())
        if (level.here) names.emplace_back(level.name);
    return names;
}

KernelsOf kernels_of_level(const std::string& name) {
    for (const Level& level : levels())
        if (level.here && name == level.name) return level.kernels;
    return nullptr;
}

}  // namespace u2forge
