"""Perf rows → one Markdown table for documents: what ran, how fast, and how much faster than float32."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from u2forge.measure.perf_row import PerfRow
from u2forge.measure.spread import Spread
from u2forge.measure.stability import samples_needed
from u2forge.report.fit_text import fitted
from u2forge.report.number_text import number_column, percent
from u2forge.report.perf_tables import latency_column, part_of, shown_names, speed_column

_FLOAT32 = "force_float32"
_PERCENTILES = (95.0, 99.0)
_SPAN = (10.0, 90.0)
# What Markdown or HTML would obey; an underscore only at the border of a word.
_MARKS = re.compile(r"[&<>|`*\[\]\\~]|(?<![^\W_])_|_(?![^\W_])")


def perf_markdown(rows: Sequence[PerfRow], *, first: str | None = None) -> str:
    """The table, without a newline at its end. Model, engine, scenario, threads and streams have columns only where
    rows differ in them; percentiles a cell only where there are samples beyond them, and a column only with a cell.
    The spread is the 10–90 % span where all rows tell it, else the variation.

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
        **_percentile_columns(rows),
        **_spread_column(rows),
        "speed": [_speed(row, reference) for row in rows],
    }
    lines = [list(columns), ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join(map(_line, lines))


def _percentile_columns(rows: Sequence[PerfRow]) -> dict[str, list[str]]:
    columns = {one: number_column([_told(row.latency, one) for row in rows]) for one in _PERCENTILES}
    return {f"p{one:g} ms": cells for one, cells in columns.items() if any(cells)}


def _spread_column(rows: Sequence[PerfRow]) -> dict[str, list[str]]:
    low, high = ([_told(row.latency, one) for row in rows] for one in _SPAN)
    ran = [row.latency is not None for row in rows]
    if any(ran) and [one is not None for one in low] == ran == [one is not None for one in high]:
        # Together, for the same decimals.
        cells = number_column([*low, *high])
        spans = zip(cells[: len(rows)], cells[len(rows) :], strict=True)
        return {"10–90 % ms": ["–".join(ends) if all(ends) else "" for ends in spans]}
    return {"variation %": [percent(part_of(row.latency, "variation")) for row in rows]}


def _told(spread: Spread | None, one: float) -> float | None:
    """The percentile, where there are samples enough for it."""
    return part_of(spread, one) if spread is not None and spread.count >= samples_needed(one) else None


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
