"""What perf measured → a page: all rows in a table and a bar chart, then each row's own report, times and layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from u2forge.measure.layer_times import LayerTable
from u2forge.measure.perf_row import PerfResult, PerfRow
from u2forge.report.fit_text import printable
from u2forge.report.html_page import folded, html_page, paragraphs, section, side_by_side, subsection, table
from u2forge.report.layer_times_table import layer_lines, layer_rows, operator_rows, stage_rows
from u2forge.report.perf_facts import (
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
    timed,
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
from u2forge.report.svg_bars import Bar, bar_chart
from u2forge.report.svg_plot import Rule, Series, line_plot

# Of averages in the page; the plot shows them all.
_MOST_HUNDREDS = 100
_COLOUR_NOTE = "Colours: what the row ran in."
_WHISKER_NOTE = (
    "Whiskers: the throughput as it were at the median latencies of the slowest and of the fastest turn."
)
# Fewer points are no course of anything.
_FEWEST_POINTS = 3


def perf_page(result: PerfResult) -> str:
    """The page as text."""
    rows = result.rows
    named = list(zip(labels(rows), rows, strict=True))
    bars = _bars(named)
    chart = bar_chart(bars, title="Throughput", x_label="pictures a second", width=1000)
    chart_note = f"{_COLOUR_NOTE} {_WHISKER_NOTE}" if any(bar.whisker for bar in bars) else _COLOUR_NOTE
    limits = ", ".join(f"{name} {value}" for name, value in limit_facts(result.parameters))
    body = [
        *paragraphs([f"Scenario {result.scenario}: {SCENARIOS[result.scenario]}; {limits}."]),
        *paragraphs([f"Warning: {printable(warning)}" for warning in result.warnings], css="failed"),
        _shown(overview(rows)),
        *paragraphs([WORK_NOTE] if any(row.scenario == "pipeline" for row in rows) else []),
        *paragraphs(
            [f"{label}: {row.status}: {reason}" for label, row in named if (reason := reason_of(row))],
            css="failed",
        ),
        side_by_side([chart]),
        *paragraphs([chart_note]),
        section("Machine"),
        _facts(run_facts(result)),
    ]
    for label, row in named:
        body += [section(label, css="" if row.status == "complete" else "failed"), *_report(row, result)]
    return html_page("u2forge perf", body)


def _bars(named: Sequence[tuple[str, PerfRow]]) -> list[Bar]:
    """Colours tell what the rows ran in; whiskers, how far the turns were apart."""
    return [
        Bar(
            label,
            row.throughput if row.iterations else math.nan,
            group=row.executed,
            note="" if row.status == "complete" else row.status,
            **_whisker(row),
        )
        for label, row in named
    ]


def _whisker(row: PerfRow) -> dict[str, float]:
    """The throughput as it were at the slowest and at the fastest turn's median."""
    medians = [one for one in row.turn_medians if math.isfinite(one) and one > 0]
    # In a pipeline many pictures are on their way at once.
    if row.scenario == "pipeline" or row.latency is None or len(medians) < _FEWEST_POINTS:
        return {}
    scaled = row.throughput * row.latency.median
    return {"low": scaled / max(medians), "high": scaled / min(medians)}


def _report(row: PerfRow, result: PerfResult) -> Iterator[str]:
    yield from paragraphs([f"Warning: {printable(warning)}" for warning in row.warnings], css="failed")
    yield side_by_side(
        [
            _part("Performance", _facts(performance_facts(row))),
            _part("Device", _facts(device_facts(row))),
            _part("Opening", _facts(opening_facts(row))),
        ]
    )
    if row.scenario == "throughput" and row.options:
        yield from paragraphs([f"use: {printable(row.options)}"])
    if row.latency is not None:
        yield _shown(time_table(row))
        yield side_by_side(
            [*_course(row), _part("Utilization while measuring", _shown(utilization_table(row)))]
        )
    yield folded("Parameters and model", [side_by_side([_facts(parameter_facts(row, result)), *_model(row)])])
    if row.searched:
        yield folded("What the search tried", [_shown(searched_table(row))])
    hundreds = hundreds_table(row)
    if hundreds.rows:
        count = len(hundreds.rows)
        first = f"the first {_MOST_HUNDREDS} of {count}, all are in the JSON"
        yield folded(
            f"Averages of every 100 {counted(row)} ({count if count <= _MOST_HUNDREDS else first})",
            [_shown(Table(hundreds.headings, hundreds.rows[:_MOST_HUNDREDS]))],
        )
    if row.layers is not None:
        yield from _layers(row.layers, latency_ms=part_of(row.latency, "median"))


def _model(row: PerfRow) -> list[str]:
    tensors = tensor_table(row)
    return [_facts(model_facts(row)), *([_shown(tensors)] if tensors.rows else [])]


def _course(row: PerfRow) -> list[str]:
    """How the latency, or the work per picture, went while the row was measured."""
    assert row.latency is not None
    hundreds = [means["latency"] for means in row.per_hundred if "latency" in means]
    # The last one may be of a few inferences only.
    hundreds = hundreds[: row.iterations // 100]
    by_hundred = len(hundreds) >= _FEWEST_POINTS and len(hundreds) > len(row.turn_medians)
    values = hundreds if by_hundred else list(row.turn_medians)
    if len(values) < _FEWEST_POINTS:
        return []
    return [
        line_plot(
            [
                Series(
                    f"mean of 100 {counted(row)}" if by_hundred else "median of a turn",
                    [float(100 * number if by_hundred else number) for number in range(1, len(values) + 1)],
                    values,
                    markers=len(values) <= 40,
                )
            ],
            title=f"{timed(row)} while measuring",
            x_label=counted(row) if by_hundred else "turn",
            y_label="ms",
            y_range=(0, None),
            whole_x=True,
            rule=Rule(row.latency.median, "median of all"),
        )
    ]


def _layers(layers: LayerTable, *, latency_ms: float | None) -> Iterator[str]:
    yield subsection("Layers")
    yield from paragraphs(layer_lines(layers, latency_ms=latency_ms))
    bars = [Bar(group.group, group.ms, note=f"{100 * group.share:.1f} %") for group in layers.stages]
    yield side_by_side(
        [
            bar_chart(bars, title="Time by stage of the network", x_label="ms of an inference", width=620),
            _shown(operator_rows(layers)),
        ]
    )
    yield folded("By stage", [_shown(stage_rows(layers))])
    yield folded(f"All {len(layers.layers)} layers", [_shown(layer_rows(layers))])


def _part(heading: str, content: str) -> str:
    return f"<div>{subsection(heading)}{content}</div>"


def _facts(facts: Facts) -> str:
    return table([], facts)


def _shown(shown: Table) -> str:
    return table(shown.headings, shown.rows, words=shown.words)
