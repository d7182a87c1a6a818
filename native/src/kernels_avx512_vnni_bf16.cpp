#define U2FORGE_LEVEL avx512_vnni_bf16
#include "simd_avx512.h"

#include "kernel_table.h"
