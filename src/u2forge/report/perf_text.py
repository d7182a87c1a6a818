"""What perf measured → the text that `u2forge perf` prints: a full report of one row, a table of several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from u2forge.measure.perf_row import PerfResult, PerfRow
from u2forge.report.fit_text import printable
from u2forge.report.layer_times_table import layer_times_text
from u2forge.report.perf_facts import (
    NOT_AVAILABLE,
    SCENARIOS,
    WORK_NOTE,
    Facts,
    counted,
    device_facts,
    labels,
    limit_facts,
    model_facts,
    opening_facts,
    parameter_facts,
    performance_facts,
    reason_of,
    run_facts,
)
from u2forge.report.perf_tables import (
    Table,
    hundreds_table,
    overview,
    part_of,
    searched_table,
    tensor_table,
    time_table,
    utilization_table,
)
from u2forge.report.run_table import text_table

# The JSON has them all.
_MOST_HUNDREDS = 20


def perf_text(result: PerfResult) -> str:
    """The text, without a newline at its end."""
    if len(result.rows) == 1:
        return "\n".join(_report(result.rows[0], result))
    return "\n".join(_comparison(result))


def _report(row: PerfRow, result: PerfResult) -> Iterator[str]:
    """One row, in the order of mm_run's sections."""
    yield f"u2forge perf: {labels([row])[0]}"
    yield from _section("Parameters", _facts(parameter_facts(row, result)))
    yield from _section("Opening", _facts(opening_facts(row)))
    yield from _section("Device", _facts([*device_facts(row), *run_facts(result)]))
    yield from _section("Model", [*_facts(model_facts(row)), "", *_table(tensor_table(row))])
    yield from _section("Utilization while measuring", _table(utilization_table(row)))
    reason = [("reason", reason_of(row))] if row.status != "complete" else []
    facts = _facts([*performance_facts(row), *reason])
    yield from _section("Performance", [*facts, *_use(row), "", *_table(time_table(row)), *_note([row])])
    if row.searched:
        yield from _section("Search", _table(searched_table(row)))
    yield from _section(f"Averages of every 100 {counted(row)}", _hundreds(row))
    warnings = [*result.warnings, *row.warnings]
    if warnings:
        yield from _section("Warnings", map(printable, warnings))
    if row.layers is not None:
        yield from _section("Layers", _layers(row).splitlines())


def _comparison(result: PerfResult) -> Iterator[str]:
    rows = result.rows
    limits = ", ".join(f"{name} {value}" for name, value in limit_facts(result.parameters))
    yield f"u2forge perf: {len(rows)} candidates in turn, {result.scenario} ({SCENARIOS[result.scenario]})"
    yield limits
    yield ""
    table = overview(rows)
    yield text_table(table.headings, table.rows)
    yield from _note(rows)
    named = list(zip(labels(rows), rows, strict=True))
    yield from _section(
        "Not complete",
        [f"{label}: {row.status}: {reason}" for label, row in named if (reason := reason_of(row))],
    )
    yield from _section("Settings", [f"{label}: {line}" for label, row in named for line in _use(row)])
    yield from _section(
        "Warnings",
        [
            *map(printable, result.warnings),
            *(f"{label}: {printable(warning)}" for label, row in named for warning in row.warnings),
        ],
    )
    yield from _section("Machine", _facts(run_facts(result)))
    for label, row in named:
        if row.layers is not None:
            yield from _section(f"Layers of {label}", _layers(row).splitlines())
    yield ""
    yield "Every row's full report: --json FILE or --html FILE."


def _section(heading: str, lines: Iterator[str] | Sequence[str]) -> Iterator[str]:
    """Nothing where there are no lines."""
    found = list(lines)
    if found:
        yield ""
        yield heading
        yield from (f"  {line}" if line else "" for line in found)


def _facts(facts: Facts) -> Iterator[str]:
    width = max(len(name) for name, _ in facts)
    yield from (f"{name:<{width}}  {value}" for name, value in facts)


def _table(table: Table) -> Iterator[str]:
    """The table's lines; a row that is not available says so, without making a column of numbers broad."""
    absent = [NOT_AVAILABLE in row for row in table.rows]
    rows = [
        [row[0], *[""] * (len(row) - 1)] if gone else row
        for row, gone in zip(table.rows, absent, strict=True)
    ]
    width = max((len(row[0]) for row in (table.headings, *rows)), default=0)
    lines = text_table(table.headings, rows).splitlines()
    yield from lines[:2]
    for line, gone in zip(lines[2:], absent, strict=True):
        yield f"{line:<{width}}  {NOT_AVAILABLE}" if gone else line


def _use(row: PerfRow) -> list[str]:
    """What a search for the best found."""
    return [f"use: {printable(row.options)}"] if row.scenario == "throughput" and row.options else []


def _note(rows: Sequence[PerfRow]) -> list[str]:
    """What the time of a pipeline is, where there is one."""
    return ["", WORK_NOTE] if any(row.scenario == "pipeline" for row in rows) else []


def _hundreds(row: PerfRow) -> Iterator[str]:
    table = hundreds_table(row)
    if not table.rows:
        return
    yield from text_table(table.headings, table.rows[:_MOST_HUNDREDS]).splitlines()
    more = len(table.rows) - _MOST_HUNDREDS
    if more > 0:
        yield f"{more} more in the JSON"


def _layers(row: PerfRow) -> str:
    assert row.layers is not None
    return layer_times_text(row.layers, latency_ms=part_of(row.latency, "median"))
