#define U2FORGE_LEVEL portable
#include "simd_portable.h"

#include "kernel_table.h"
