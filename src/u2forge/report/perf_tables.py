"""Perf rows → tables of text: the overview of all rows, and one row's tensors, utilization, times and averages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from u2forge.measure.perf_row import PHASES, UTILIZATION, PerfRow
from u2forge.measure.spread import Spread
from u2forge.report.fit_text import fitted
from u2forge.report.number_text import fixed_number, number_column, percent
from u2forge.report.perf_facts import NOT_AVAILABLE, counted, timed

_HUNDRED = 100
_LONGEST_NAME = 48
_UTILIZATION = {
    "cpu_percent": "CPU, of one processor",
    "memory_mb": "memory",
    "gpu_percent": "GPU",
    "gpu_memory_mb": "GPU memory",
    "gpu_power_w": "GPU power",
    "gpu_temperature_c": "GPU temperature",
}
SPREAD_PARTS = ("min", "max", "mean", "median")


@dataclass(frozen=True)
class Table:
    """Headings, and rows as long as they are. words: columns from the left that hold no numbers. A row that has
    NOT_AVAILABLE in its second column has nothing behind it."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


def overview(rows: Sequence[PerfRow]) -> Table:
    """A line a row: what ran, how fast, and how it compares with the first row that has figures. status: only where
    a row is not complete; the work per picture of pipelines is no latency, and has columns of its own."""
    reference = next((row.throughput for row in rows if row.throughput > 0), None)
    ratios = [row.throughput / reference if reference and row.iterations else None for row in rows]
    columns = {
        "model": shown_names(rows),
        "precision": [fitted(row.precision, 32) for row in rows],
        "ran in": [fitted(row.executed, 16) for row in rows],
        "engine": [fitted(row.engine, 16) for row in rows],
        "status": [row.status for row in rows],
        "batch": [str(row.batch_size) for row in rows],
        "threads": [str(row.threads or "") for row in rows],
        "streams": [str(row.streams) for row in rows],
        next(map(counted, rows), "inferences"): [str(row.iterations) for row in rows],
        "pictures/s": speed_column(rows),
        "× first": [fixed_number(ratio, 2) for ratio in ratios],
        **_time_columns(rows),
        "variation %": [percent(part_of(row.latency, "variation")) for row in rows],
        "memory MB": [fixed_number(part_of(row.utilization.get("memory_mb"), "mean"), 0) for row in rows],
    }
    if all(row.status == "complete" for row in rows):
        del columns["status"]
    return Table(list(columns), list(zip(*columns.values(), strict=True)), words=list(columns).index("batch"))


def speed_column(rows: Sequence[PerfRow]) -> list[str]:
    """Pictures a second, nothing for a row that failed."""
    return number_column([row.throughput if row.iterations else None for row in rows])


def latency_column(rows: Sequence[PerfRow], part: str | float) -> list[str]:
    """A figure of the rows' latencies in milliseconds, as `part_of` names it; nothing for pipelines."""
    return _part_column(rows, part, of_pipelines=False)


def _time_columns(rows: Sequence[PerfRow]) -> dict[str, list[str]]:
    highest = max(_percentiles([row.latency for row in rows]), default=None)
    parts: dict[str, str | float] = {
        "median": "median",
        **({} if highest is None else {f"p{highest:g}": highest}),
    }
    columns: dict[str, list[str]] = {}
    for kind, of_pipelines in (("", False), ("work ", True)):
        if any((row.scenario == "pipeline") == of_pipelines for row in rows):
            columns |= {
                f"{kind}{name} ms": _part_column(rows, part, of_pipelines=of_pipelines)
                for name, part in parts.items()
            }
    return columns


def _part_column(rows: Sequence[PerfRow], part: str | float, *, of_pipelines: bool) -> list[str]:
    """Of the other rows, nothing."""
    return number_column(
        [part_of(row.latency, part) if (row.scenario == "pipeline") == of_pipelines else None for row in rows]
    )


def shown_names(rows: Sequence[PerfRow]) -> list[str]:
    """The models' names; as the user called them where nothing else would tell two rows apart."""
    called: dict[tuple[str, int], set[str]] = {}
    for row in rows:
        called.setdefault((row.label, row.threads), set()).add(row.model)
    unclear = {row.name for row in rows if len(called[row.label, row.threads]) > 1}
    return [
        fitted(row.model if row.name in unclear or not row.name else row.name, _LONGEST_NAME) for row in rows
    ]


def tensor_table(row: PerfRow) -> Table:
    """Every input and output."""
    cells = [
        [
            kind,
            fitted(one.name, _LONGEST_NAME),
            fitted(one.dtype, 16),
            fitted(one.layout, 16),
            "×".join(map(str, one.shape)),
            str(one.bytes),
        ]
        for kind, tensors in (("input", row.inputs), ("output", row.outputs))
        for one in tensors
    ]
    return Table(["", "name", "type", "layout", "dims", "bytes"], cells, words=5)


def utilization_table(row: PerfRow) -> Table:
    """What the machine did meanwhile."""
    names = [*UTILIZATION, *(name for name in row.utilization if name not in UTILIZATION)]
    cells = []
    for name in names:
        spread = row.utilization.get(name)
        unit = f" ({UTILIZATION[name]})" if name in UTILIZATION else ""
        cells.append(
            [fitted(_UTILIZATION.get(name, name), _LONGEST_NAME) + unit, *_spread_cells(spread, (), 1)]
        )
    return Table(["", *SPREAD_PARTS], cells)


def time_table(row: PerfRow) -> Table:
    """The time of an inference and of its parts; of the pipeline's stages for a pipeline."""
    percentiles = _percentiles([row.latency, *row.phases.values()])
    names = list(row.phases) if row.scenario == "pipeline" else list(PHASES)
    times = {
        timed(row): row.latency,
        **{fitted(PHASES.get(name, name), _LONGEST_NAME): row.phases.get(name) for name in names},
    }
    cells = [
        [name, *_spread_cells(spread, percentiles, 3), percent(part_of(spread, "variation"))]
        for name, spread in times.items()
    ]
    return Table(["ms", *SPREAD_PARTS, *(f"p{one:g}" for one in percentiles), "variation %"], cells)


def hundreds_table(row: PerfRow) -> Table:
    """The means of every 100 inferences, in milliseconds."""
    names = list(dict.fromkeys(name for means in row.per_hundred for name in means))
    cells = [
        [hundred_range(row, index), *(fixed_number(means.get(name)) for name in names)]
        for index, means in enumerate(row.per_hundred)
    ]
    headings = [fitted(timed(row) if name == "latency" else PHASES.get(name, name), 24) for name in names]
    return Table(["mean ms of", *headings], cells)


def hundred_range(row: PerfRow, index: int) -> str:
    """Which inferences these are; the last ones may be fewer than 100."""
    first = index * _HUNDRED + 1
    is_last = index == len(row.per_hundred) - 1
    return f"{first} to {max(first, row.iterations) if is_last else first + _HUNDRED - 1}"


def searched_table(row: PerfRow) -> Table:
    """What a search tried, and what it gave, or why that failed."""
    speeds = number_column([one.get("throughput") for one in row.searched])
    cells = [
        [fitted(": ".join(str(one[name]) for name in ("options", "reason") if one.get(name)), 120), speed]
        for one, speed in zip(row.searched, speeds, strict=True)
    ]
    return Table(["tried", "pictures/s"], cells)


def part_of(spread: Spread | None, part: str | float) -> float | None:
    """A figure of the spread by its name, or a percentile by its percent; None where there is no such figure."""
    if spread is None:
        return None
    if isinstance(part, str):
        return float(getattr(spread, part))
    return spread.percentiles.get(part)


def _percentiles(spreads: Sequence[Spread | None]) -> list[float]:
    return sorted({one for spread in spreads if spread is not None for one in spread.percentiles})


def _spread_cells(spread: Spread | None, percentiles: Sequence[float], decimals: int) -> list[str]:
    if spread is None or not math.isfinite(spread.mean):
        return [NOT_AVAILABLE, *[""] * (len(SPREAD_PARTS) - 1 + len(percentiles))]
    parts: list[str | float] = [*SPREAD_PARTS, *percentiles]
    return [fixed_number(part_of(spread, part), decimals) for part in parts]
