#define U2FORGE_LEVEL avx2_vnni
#include "simd_avx2.h"

#include "kernel_table.h"
