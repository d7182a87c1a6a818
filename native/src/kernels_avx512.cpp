#define U2FORGE_LEVEL avx512
#include "simd_avx512.h"

#include "kernel_table.h"
