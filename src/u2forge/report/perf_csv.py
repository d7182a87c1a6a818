"""What perf measured → a CSV table: a line a row, every figure that is one number, its unit in the column's name."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence

from u2forge.measure.perf_row import OPENING_STEPS, PHASES, UTILIZATION, PerfResult, PerfRow
from u2forge.measure.spread import Spread
from u2forge.report.fit_text import printable
from u2forge.report.perf_tables import SPREAD_PARTS, part_of
from u2forge.report.picture_csv import safe_cell

_WORDS = (
    "model",
    "name",
    "path",
    "model_sha256",
    "scenario",
    "status",
    "reason",
    "precision",
    "executed",
    "engine",
    "engine_version",
    "device",
    "device_name",
    "options",
)
_COUNTS = ("size_bytes", "batch_size", "threads", "streams", "iterations", "wall_s", "compute_s")


def perf_csv(result: PerfResult) -> str:
    """The table as text; a figure that is not there is an empty cell."""
    rows = [dict(_cells(row, result)) for row in result.rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _cells(row: PerfRow, result: PerfResult) -> Iterator[tuple[str, object]]:
    """Column and value, in the same order for all rows of a result."""
    yield "date", _word(result.date)
    for name in _WORDS:
        yield name, _word(getattr(row, name))
    for name in _COUNTS:
        yield name, _number(getattr(row, name))
    yield "throughput_pictures_per_s", _number(row.throughput if row.iterations else None)
    rows = result.rows
    percentiles = sorted(
        {one for each in rows for spread in _times(each).values() if spread for one in spread.percentiles}
    )
    for name in dict.fromkeys(name for each in rows for name in _times(each)):
        spread = _times(row).get(name)
        yield from _spread_cells(name, "_ms", spread, percentiles)
        yield f"{_word(name)}_variation", _number(part_of(spread, "variation"))
    for name in _names(OPENING_STEPS, [each.opening_ms for each in rows]):
        yield f"opening_{_word(name)}_ms", _number(row.opening_ms.get(name))
    for name in _names(tuple(UTILIZATION), [each.utilization for each in rows]):
        yield from _spread_cells(name, "", row.utilization.get(name), ())
    yield "warnings", _word("; ".join((*result.warnings, *row.warnings)))


def _times(row: PerfRow) -> Mapping[str, Spread | None]:
    phases = {} if row.scenario == "pipeline" else dict.fromkeys(PHASES)
    return {"latency": row.latency, **phases, **row.phases}


def _names(usual: Sequence[str], found: Sequence[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys([*usual, *(name for one in found for name in one)]))


def _spread_cells(
    name: str, unit: str, spread: Spread | None, percentiles: Sequence[float]
) -> Iterator[tuple[str, object]]:
    parts: list[str | float] = [*SPREAD_PARTS, *percentiles]
    for part in parts:
        called = part if isinstance(part, str) else f"p{part:g}"
        yield f"{_word(name)}_{called}{unit}", _number(part_of(spread, part))


def _word(text: str) -> str:
    return safe_cell(printable(text))


def _number(value: float | None) -> float | str:
    return "" if value is None or not math.isfinite(value) else round(value, 6)
