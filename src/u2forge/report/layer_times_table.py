"""What each layer takes, by the engine's own profiler → tables by layer, by stage and by operator, for the terminal
and the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from u2forge.measure.layer_times import GroupRow, LayerTable
from u2forge.report.fit_text import fitted, printable
from u2forge.report.number_text import fixed_number, number_column, percent, short_number
from u2forge.report.perf_tables import Table
from u2forge.report.run_table import text_table

_LONGEST_NAME = 44


def layer_times_text(layers: LayerTable, *, latency_ms: float | None) -> str:
    """All tables and what they are measured against. latency_ms: of an inference, measured without the profiler."""
    parts = [
        "\n".join(layer_lines(layers, latency_ms=latency_ms)),
        *(
            text_table(table.headings, table.rows)
            for table in (layer_rows(layers), stage_rows(layers), operator_rows(layers))
        ),
    ]
    return "\n\n".join(parts)


def layer_lines(layers: LayerTable, *, latency_ms: float | None) -> list[str]:
    """Whose figures these are, their sum against the measured latency, and what the machine can do, or why that is
    not told."""
    lines = [
        f"Times of the profiler of {printable(layers.profiler)}, means of {layers.inferences} inferences; "
        "GMAC/s: thousand millions of multiply-accumulates a second.",
        _total_line(layers.total_ms, latency_ms),
    ]
    peaks = ", ".join(
        f"{printable(precision)} {short_number(peak)}" for precision, peak in layers.peaks_gmac_per_s.items()
    )
    bandwidth = short_number(layers.bandwidth_gb_per_s)
    return [
        *lines,
        f"Measured peaks: {f'{peaks} GMAC/s' if peaks else 'not available'}; "
        f"memory bandwidth: {f'{bandwidth} GB/s' if bandwidth else 'not available'}.",
        *(f"Note: {printable(note).rstrip('.')}." for note in layers.notes),
    ]


def layer_rows(layers: LayerTable) -> Table:
    """A line a layer, in the order of execution."""
    rates = number_column([layer.gmac_per_s for layer in layers.layers])
    return Table(
        [
            "layer",
            "operator",
            "kernel",
            "precision",
            "ms",
            "cumulative ms",
            "share %",
            "GMAC/s",
            "% of peak",
        ],
        [
            [
                fitted(layer.name, _LONGEST_NAME),
                fitted(layer.operator, 24),
                fitted(layer.kernel, 32),
                fitted(layer.precision, 16),
                fixed_number(layer.ms),
                fixed_number(layer.cumulative_ms),
                percent(layer.share),
                rate,
                percent(layer.peak_share),
            ]
            for layer, rate in zip(layers.layers, rates, strict=True)
        ],
        words=4,
    )


def stage_rows(layers: LayerTable) -> Table:
    """A line a stage of the network."""
    return _groups("stage", layers.stages)


def operator_rows(layers: LayerTable) -> Table:
    """A line a type of operator."""
    return _groups("operator", layers.operators)


def _groups(heading: str, groups: Sequence[GroupRow]) -> Table:
    rates = number_column([group.gmac_per_s for group in groups])
    return Table(
        [heading, "layers", "ms", "share %", "GMAC/s"],
        [
            [
                fitted(group.group, _LONGEST_NAME),
                str(group.layers),
                fixed_number(group.ms),
                percent(group.share),
                rate,
            ]
            for group, rate in zip(groups, rates, strict=True)
        ],
    )


def _total_line(total_ms: float, latency_ms: float | None) -> str:
    line = f"All layers: {fixed_number(total_ms)} ms"
    if latency_ms is None or not math.isfinite(latency_ms) or latency_ms <= 0:
        return f"{line}."
    return (
        f"{line}, {percent(total_ms / latency_ms, 0)} % of the median latency of {fixed_number(latency_ms)} ms, "
        "which was measured without the profiler."
    )
