"""Perf rows → one Markdown table for documents: what ran, how fast, and how much faster than float32."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from u2forge.measure.perf_row import PerfRow
from u2forge.report.fit_text import fitted
from u2forge.report.perf_tables import latency_column, shown_names, speed_column

_FLOAT32 = "force_float32"
_PERCENTILES = (95.0, 99.0)
# What Markdown or HTML would obey; an underscore only at the border of a word.
_MARKS = re.compile(r"[&<>|`*\[\]\\~]|(?<![^\W_])_|_(?![^\W_])")


def perf_markdown(rows: Sequence[PerfRow], *, first: str | None = None) -> str:
    """The table, without a newline at its end. Model, engine, scenario, threads and streams have columns only where
    rows differ in them.

    first: the label of the row that speeds are relative to; else force_float32 with batch 1, else the first row that
    ran. A row that failed, or was stopped before its end, says so instead of its speed, or behind it.
    """
    reference = _reference(rows, first)
    columns = {
        "model": shown_names(rows),
        "engine": [fitted(row.engine, 48) for row in rows],
        "scenario": [str(row.scenario) for row in rows],
        "threads": [str(row.threads or "") for row in rows],
        "streams": [str(row.streams) for row in rows],
    }
    columns = {name: cells for name, cells in columns.items() if len(set(cells)) > 1}
    columns |= {
        "precision": [fitted(row.precision, 48) for row in rows],
        "ran in": [fitted(row.executed, 24) for row in rows],
        "batch": [str(row.batch_size) for row in rows],
        "pictures/s": speed_column(rows),
        "median ms": latency_column(rows, "median"),
        **{f"p{percent:g} ms": latency_column(rows, percent) for percent in _PERCENTILES},
        "speed": [_speed(row, reference) for row in rows],
    }
    lines = [list(columns), ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(map(_line, lines))


def _speed(row: PerfRow, reference: PerfRow | None) -> str:
    if not _ran(row):
        return row.status
    ratio = "" if reference is None else f"{row.throughput / reference.throughput:.2f}×"
    return ratio if row.status == "complete" else f"{ratio} ({row.status})".strip()


def _reference(rows: Sequence[PerfRow], first: str | None) -> PerfRow | None:
    if first is not None:
        return next((row for row in rows if row.label == first and _ran(row)), None)
    ran = [row for row in rows if _ran(row)]
    usual = [row for row in ran if row.precision == _FLOAT32 and row.batch_size == 1]
    return next(iter([*usual, *ran]), None)


def _ran(row: PerfRow) -> bool:
    return row.status != "failed" and math.isfinite(row.throughput) and row.throughput > 0


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(cell: str) -> str:
    return _MARKS.sub(lambda found: f"&#{ord(found.group())};", cell)
