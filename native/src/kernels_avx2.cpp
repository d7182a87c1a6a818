#define U2FORGE_LEVEL avx2
#include "simd_avx2.h"

#include "kernel_table.h"
