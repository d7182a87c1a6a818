"""u2forge perf compare: arguments and printing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from u2forge.measure.comparison import Comparison
from u2forge.report.compare_table import compare_text
from u2forge.verbs.perf_compare import perf_compare


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `perf compare` takes."""
    parser.add_argument(
        "old", type=Path, metavar="OLD", help="what `u2forge perf --json` wrote: the baseline"
    )
    parser.add_argument("new", type=Path, metavar="NEW", help="the same of today, from the same machine")
    parser.add_argument(
        "--max-loss",
        type=share,
        default=0.05,
        metavar="X",
        help="the most that a row may become slower, 5%% or 0.05 (exit code 10)",
    )


def share(text: str) -> float:
    """`5%` or `0.05` as a number."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected 5% or 0.05, say; found {text!r}") from None


def main(options: argparse.Namespace) -> int:
    """Compares and prints the table, or all of it as JSON, before the gate."""
    perf_compare(
        options.old,
        options.new,
        max_loss=options.max_loss,
        on_result=lambda comparison: _show(comparison, as_json=options.json),
    )
    return 0


def _show(comparison: Comparison, *, as_json: bool) -> None:
    print(json.dumps(comparison.as_dict(), allow_nan=False) if as_json else compare_text(comparison))
