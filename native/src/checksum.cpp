#include "checksum.h"

#include <cstring>

namespace u2forge {
namespace {

// Source: xxHash, the primes of XXH64.
constexpr uint64_t kOne = 0x9E3779B185EBCA87u, kTwo = 0xC2B2AE3D27D4EB4Fu, kThree = 0x165667B19E3779F9u;

uint64_t rotated(uint64_t x, int by) { return x << by | x >> (64 - by); }
uint64_t mixed(uint64_t lane, uint64_t word) { return rotated(lane + word * kTwo, 31) * kOne; }

}  // namespace

uint64_t checksum(const uint8_t* data, size_t bytes) {
    constexpr int lanes = 8;
    uint64_t lane[lanes];
    for (int i = 0; i < lanes; ++i) lane[i] = kThree * static_cast<uint64_t>(i + 1);
    size_t at = 0;
    for (; at + 8 * lanes <= bytes; at += 8 * lanes)
        for (int i = 0; i < lanes; ++i) {
            uint64_t word;
            std::memcpy(&word, data + at + 8 * i, 8);
            lane[i] = mixed(lane[i], word);
        }
    uint64_t all = bytes;
    for (; at < bytes; ++at) all = mixed(all, data[at]);
    for (const uint64_t value : lane) all = mixed(all, value);
    all ^= all >> 33;
    all *= kTwo;
    return all ^ all >> 29;
}

}  // namespace u2forge
