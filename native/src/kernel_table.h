// The table of one instruction set's kernels; included last, in a file that names the set.
#pragma once

#include "pixel_kernels.h"
#include "product_kernels.h"
#include "transform_kernels.h"

namespace u2forge::U2FORGE_LEVEL {

template <class P> constexpr Transforms large_tiles = {nullptr, nullptr};
template <> constexpr Transforms large_tiles<Float32> = {transform_input<Float32, Large>, transform_output<Float32, Large>};

template <class P>
constexpr Kernels kTable = {
    static_cast<int>(sizeof(typename P::Channel)),
    static_cast<int>(sizeof(typename P::Transformed)),
    P::Product::most_columns,
    steps_of_panel,
    P::Product::flushes,
    {transform_input<P, Small>, transform_output<P, Small>},
    large_tiles<P>,
    product<typename P::Product>,
    store_sums<P>,
    interleave<P>,
    first_convolution<P>,
    side_convolution<P>,
    resize<P>,
    pool<P>,
    add<P>,
    copy<P>,
};

const Kernels* kernels(Precision precision) {
    switch (precision) {
        case Precision::float32: return &kTable<Float32>;
        case Precision::int16: return &kTable<Int16>;
        case Precision::bfloat16:
#ifdef U2FORGE_BFLOAT16
            return &kTable<Bfloat16>;
#else
            return nullptr;
#endif
    }
    return nullptr;
}

}  // namespace u2forge::U2FORGE_LEVEL
