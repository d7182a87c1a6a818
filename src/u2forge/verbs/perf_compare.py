"""perf_compare: two JSON files of perf → a verdict for each row, and a gate for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from u2forge.errors import InputError
from u2forge.measure.compare import check_comparison, compare
from u2forge.measure.comparison import Comparison
from u2forge.measure.perf_record import read_perf_record


def perf_compare(
    old: str | Path,
    new: str | Path,
    *,
    max_loss: float = 0.05,
    on_result: Callable[[Comparison], None] | None = None,
) -> Comparison:
    """What became faster or slower from one run of perf to another, on one machine.

    old, new: what `perf --json` wrote. max_loss: the share of its time that a row may lose, 0 to below 1. on_result is
    told the comparison before the gate. Raises InputError; PerformanceError where a row is slower beyond max_loss and
    noise, is missing, or does other work than before.
    """
    if not 0 <= max_loss < 1:  # false for NaN
        raise InputError(
            where="perf compare, option 'max_loss'",
            expected="a loss of at least 0 and below 100%",
            found=f"{100 * max_loss:g}%",
            fix="give 5% or 0.05, say",
        )
    records = [read_perf_record(Path(path).expanduser()) for path in (old, new)]
    comparison = compare(*records, max_loss=max_loss)
    if on_result is not None:
        on_result(comparison)
    check_comparison(comparison)
    return comparison
