"""What quantization costs, as a page: the table of layers, and the loss against the number of them left in float."""

from __future__ import annotations

from collections.abc import Sequence

from u2forge.model_file.quantization_record import QuantizationRecord
from u2forge.report.html_page import html_page, paragraphs, section, table
from u2forge.report.layer_table import LAYER_HEADINGS, QuantizationReport
from u2forge.report.svg_plot import Rule, Series, line_plot

_LEGEND = (
    "work: share of the multiply-accumulates. dB: signal to quantization noise, of the weights (each by its input "
    "channel's power) and of the input. border: what rounding the weights leaves along the picture's border, as a "
    "share of what the output varies by. gain in float: by how much the mean map difference falls when this layer "
    "alone stays in float (empty where it does in any case); small ones are within the noise of the measurement."
)


def layer_page(title: str, report: QuantizationReport, record: QuantizationRecord) -> str:
    """The page as text."""
    floats = [[layer.name, layer.reason] for layer in record.float_layers]
    return html_page(
        title,
        [
            *paragraphs(_facts(report, record)),
            f'<div class="plots">{_plot(report)}</div>',
            section("Layers, the costliest first"),
            table(LAYER_HEADINGS, [row.cells() for row in report.ranked()], words=1),
            *paragraphs([_LEGEND]),
            section(f"In float ({len(floats)})"),
            table(["layer", "reason"], floats, words=2),
        ],
    )


def _facts(report: QuantizationReport, record: QuantizationRecord) -> Sequence[str]:
    calibration = record.calibration
    lines = [
        f"Activations of {record.bits} bits ({record.activations}, algorithm {record.algorithm}), weights of "
        f"{record.weight_bits} ({record.weight_granularity}), equalization {record.equalize:g}, bias correction "
        f"{'on' if record.bias_correction else 'off'}; calibrated with {calibration.count} {calibration.source}."
    ]
    accuracy = report.accuracy
    if accuracy is not None:
        lines.append(
            f"On {accuracy.pictures} check pictures, by {accuracy.engine} in {accuracy.executed}: mean map difference "
            f"{accuracy.mean_difference:.5f} (limit {accuracy.max_loss:g}), worst {accuracy.worst_difference:.5f}; "
            f"worst IoU {accuracy.worst_iou:.3f} (limit {accuracy.min_iou:g})."
        )
    return lines


def _plot(report: QuantizationReport) -> str:
    counts, losses = zip(*report.curve, strict=True)
    rule = None if report.accuracy is None else Rule(report.accuracy.max_loss, "limit of the gate")
    return line_plot(
        [Series("mean map difference to float32", counts, losses, markers=True)],
        title="Loss against layers left in float",
        x_label="layers left in float, the costliest first",
        y_label="mean map difference",
        x_range=(0, None),
        y_range=(0, None),
        whole_x=True,
        rule=rule,
    )
