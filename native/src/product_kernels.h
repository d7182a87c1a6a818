// Products: rows of operands, each four bytes broadcast, times column vectors of weights, summed in registers.
#pragma once

#include "kernel_types.h"

namespace u2forge::U2FORGE_LEVEL {

template <class P, int Rows, int Columns> void sum_rows(const Product& a, ptrdiff_t from_row, ptrdiff_t from_column) {
    using Accumulator = typename P::Accumulator;
    using Result = typename P::Result;
    char* result = a.result + from_row * a.result_row + from_column * 64;
    Accumulator sums[Rows][Columns];
    auto clear = [&] {
        U2FORGE_UNROLL
        for (int r = 0; r < Rows; ++r)
            U2FORGE_UNROLL
            for (int c = 0; c < Columns; ++c) sums[r][c] = P::zero();
    };
    auto add = [&](const char* operand, const char* weights, int steps) {
        for (int k = 0; k < steps; ++k) {
            decltype(P::columns(weights)) columns[Columns];
            U2FORGE_UNROLL
            for (int c = 0; c < Columns; ++c) columns[c] = P::columns(weights + c * 64);
            U2FORGE_UNROLL
            for (int r = 0; r < Rows; ++r) {
                const auto value = P::operand(operand + r * a.operand_row);
                U2FORGE_UNROLL
                for (int c = 0; c < Columns; ++c) sums[r][c] = P::add(sums[r][c], value, columns[c]);
            }
            operand += 4;
            weights += a.weights_step;
        }
    };
    auto each_result = [&](auto put) {
        U2FORGE_UNROLL
        for (int r = 0; r < Rows; ++r)
            U2FORGE_UNROLL
            for (int c = 0; c < Columns; ++c)
                put(reinterpret_cast<Result*>(result + r * a.result_row + c * 64), sums[r][c]);
    };
    if constexpr (P::flushes) {
        bool first = true;
        for (int s = 0; s < a.count; ++s) {
            const Segment& segment = a.segments[s];
            for (int k = 0; k < segment.steps; k += a.chunk) {
                clear();
                add(segment.operand + from_row * a.operand_row + k * 4,
                    segment.weights + from_column * 64 + k * a.weights_step,
                    segment.steps - k < a.chunk ? segment.steps - k : a.chunk);
                if (first) each_result([](Result* p, Accumulator sum) { P::put(p, sum); });
                else each_result([](Result* p, Accumulator sum) { P::put_more(p, sum); });
                first = false;
            }
        }
    } else {
        clear();
        for (int s = 0; s < a.count; ++s) {
            const Segment& segment = a.segments[s];
            add(segment.operand + from_row * a.operand_row, segment.weights + from_column * 64, segment.steps);
        }
        each_result([](Result* p, Accumulator sum) { P::put(p, sum); });
    }
}

template <class P, int Columns, int Rows> inline void sum_some_rows(const Product& a, int rows, int from, int column) {
    if (rows == Rows) sum_rows<P, Rows, Columns>(a, from, column);
    else if constexpr (Rows > 1) sum_some_rows<P, Columns, Rows - 1>(a, rows, from, column);
}

// Rows are dealt out evenly: 25 as five times 5, not four times 6 and one.
template <class P, int Columns> inline void sum_columns(const Product& a, int column) {
    constexpr int most = rows_of_product<Columns>;
    const int runs = (a.rows + most - 1) / most;
    for (int run = 0, from = 0; run < runs; ++run) {
        const int rows = (a.rows - from) / (runs - run);
        sum_some_rows<P, Columns, most>(a, rows, from, column);
        from += rows;
    }
}

template <class P> void product(const Product& a) {
    int column = 0;
    if constexpr (columns_of_product >= 4)
        for (; a.columns - column >= 4; column += 4) sum_columns<P, 4>(a, column);
    if constexpr (columns_of_product >= 2)
        for (; a.columns - column >= 2; column += 2) sum_columns<P, 2>(a, column);
    for (; column < a.columns; ++column) sum_columns<P, 1>(a, column);
}

}  // namespace u2forge::U2FORGE_LEVEL
