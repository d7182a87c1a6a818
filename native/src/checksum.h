// A checksum of many gigabytes a second: it finds what broke by accident, not what was forged.
#pragma once

#include <cstddef>
#include <cstdint>

namespace u2forge {

// Of 64 bits. Eight lanes, each multiplied and rotated like one of xxHash's; every byte and the length count.
uint64_t checksum(const uint8_t* data, size_t bytes);

}  // namespace u2forge
