// Products: rows of operands, each four bytes broadcast, times column vectors of weights, summed in registers.
#pragma once

#include "kernel_types.h"

namespace u2forge::U2FORGE_LEVEL {

// Weights that will be needed, to be brought nearer while others are used: those of `steps` steps, `at_once` of them with each
// kBetween steps. All at once they would be more than the memory answers in time.
struct Ahead {
    const char* weights;
    int steps, at_once;
};
constexpr int kBetween = 8;

// Steps [first_step, first_step + steps) of some rows and columns, added to what the result holds where `more`.
template <class P, int Rows, int Columns, bool Fetch>
void sum_rows(const Product& a, ptrdiff_t from_row, ptrdiff_t from_column, ptrdiff_t first_step, int steps, bool more,
              Ahead ahead) {
    using Accumulator = typename P::Accumulator;
    using Result = typename P::Result;
    char* result = a.result + from_row * a.result_row + from_column * 64;
    const char* operand = a.operand + from_row * a.operand_row + first_step * 4;
    const char* weights = a.weights + from_column * 64 + first_step * a.weights_step;
    Accumulator sums[Rows][Columns];
    auto each_sum = [&](auto act) {
        U2FORGE_UNROLL
        for (int r = 0; r < Rows; ++r)
            U2FORGE_UNROLL
            for (int c = 0; c < Columns; ++c)
                act(sums[r][c], reinterpret_cast<Result*>(result + r * a.result_row + c * 64));
    };
    auto add_some = [&](int count) {
        for (int k = 0; k < count; ++k) {
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
    auto add = [&](int count) {
        if constexpr (Fetch)
            for (; ahead.steps > 0 && count >= kBetween; count -= kBetween) {
                for (int i = 0; i < ahead.at_once; ++i, ahead.weights += a.weights_step)
                    U2FORGE_UNROLL
                    for (int c = 0; c < Columns; ++c) prefetch_far(ahead.weights + c * 64);
                ahead.steps -= ahead.at_once;
                add_some(kBetween);
            }
        add_some(count);
    };
    auto clear = [](Accumulator& sum, const Result*) { sum = P::zero(); };
    if constexpr (P::flushes) {
        for (int done = 0; done < steps; done += a.chunk) {
            each_sum(clear);
            add(steps - done < a.chunk ? steps - done : a.chunk);
            if (done > 0 || more) each_sum([](Accumulator sum, Result* p) { P::put_more(p, sum); });
            else each_sum([](Accumulator sum, Result* p) { P::put(p, sum); });
        }
    } else {
        if (more) each_sum([](Accumulator& sum, const Result* p) { sum = P::held(p); });
        else each_sum(clear);
        add(steps);
        each_sum([](Accumulator sum, Result* p) { P::put(p, sum); });
    }
}

template <class P, int Columns, int Rows>
inline void sum_some_rows(const Product& a, int rows, int from, int column, int first_step, int steps, bool more, Ahead ahead) {
    if (rows == Rows) {
        if constexpr (fetches_weights)
            if (ahead.steps > 0) return sum_rows<P, Rows, Columns, true>(a, from, column, first_step, steps, more, ahead);
        sum_rows<P, Rows, Columns, false>(a, from, column, first_step, steps, more, ahead);
    } else if constexpr (Rows > 1) {
        sum_some_rows<P, Columns, Rows - 1>(a, rows, from, column, first_step, steps, more, ahead);
    }
}

// Rows are dealt out evenly: of at most six, 25 as five times 5, not four times 6 and one. With each run of them goes its share
// of the next panel's weights.
template <class P, int Columns>
inline void sum_columns(const Product& a, int column, int first_step, int steps, bool more) {
    constexpr int most = rows_of_product<Columns>;
    const int runs = (a.rows + most - 1) / most;
    Ahead ahead{};
    int share = 0, to_fetch = 0;
    if (fetches_weights && a.fetch) {
        const int times = (steps + kBetween - 1) / kBetween;
        ahead.at_once = (steps + runs * times - 1) / (runs * times);
        ahead.weights = a.weights + column * 64 + (ptrdiff_t{first_step} + steps) * a.weights_step;
        share = times * ahead.at_once;
        to_fetch = steps;
    }
    for (int run = 0, from = 0; run < runs; ++run) {
        const int rows = (a.rows - from) / (runs - run);
        ahead.steps = share < to_fetch ? share : to_fetch;
        sum_some_rows<P, Columns, most>(a, rows, from, column, first_step, steps, more, ahead);
        from += rows;
        ahead.weights += ahead.steps * a.weights_step;
        to_fetch -= ahead.steps;
    }
}

// Weights are taken panel by panel: a near cache holds those of one while all rows meet them.
template <class P> void product(const Product& a) {
    for (int first = 0; first < a.steps; first += steps_of_panel) {
        const int steps = a.steps - first < steps_of_panel ? a.steps - first : steps_of_panel;
        const bool more = a.more || first > 0;
        int column = 0;
        if constexpr (P::most_columns >= 4)
            for (; a.columns - column >= 4; column += 4) sum_columns<P, 4>(a, column, first, steps, more);
        if constexpr (P::most_columns >= 2)
            for (; a.columns - column >= 2; column += 2) sum_columns<P, 2>(a, column, first, steps, more);
        for (; column < a.columns; ++column) sum_columns<P, 1>(a, column, first, steps, more);
    }
}

}  // namespace u2forge::U2FORGE_LEVEL
