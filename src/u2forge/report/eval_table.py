"""The rows of an evaluation as text: the table of figures, and that of differences to the first model."""

from __future__ import annotations

from collections.abc import Sequence

from u2forge.evaluate.differences import IOU_FLOOR
from u2forge.evaluate.eval_row import OFF_SCALE, EvalRow
from u2forge.evaluate.protocols import FIGURES, Protocol

# Columns from the left that hold words.
WORD_COLUMNS = 4
_FIGURE_NAMES = {
    "mae": "MAE",
    "max_f": "max F",
    "mean_f": "mean F",
    "adaptive_f": "adapt F",
    "weighted_f": "wtd F",
    "s_measure": "S",
    "e_measure": "E",
    "relaxed_f": "relax F",
}
FIGURE_HEADINGS = (
    "model",
    "precision",
    "executed",
    "protocol",
    *(_FIGURE_NAMES[name] for name in FIGURES),
    "images/s",
)
DIFFERENCE_HEADINGS = (
    "model",
    "precision",
    "executed",
    "protocol",
    "MAE ±",
    "max F ±",
    "wtd F ±",
    "S ±",
    "E ±",
    "mean diff",
    "worst diff",
    "worst IoU",
    f"IoU < {IOU_FLOOR:g}",
)
OFF_SCALE_NOTE = (
    "Rows marked `off scale` repeat the arithmetic of MagicMind's sample (labels on 0 to 255, thresholds on 0 to 1); "
    "they compare with its published table only and say nothing of quality."
)
SPEED_NOTE = (
    "images/s: pictures by the seconds spent in that model's engine, while other threads decode and score on the same "
    "processors; a benchmark of its own is faster."
)
DIFFERENCE_NOTE = (
    "Differences are to the first model: ± of the metrics; mean and worst picture's mean difference of the stretched "
    f"maps; the worst picture's IoU of the masks at 0.5, and how many pictures fall below {IOU_FLOOR:g}."
)


def figure_cells(row: EvalRow) -> list[str]:
    """The row as text, in the order of FIGURE_HEADINGS."""
    figures = [_number(row.metrics[name], ".4f") for name in FIGURES]
    return [*_words(row), *figures, f"{row.images_per_second:.2f}"]


def difference_cells(row: EvalRow) -> list[str]:
    """The row as text, in the order of DIFFERENCE_HEADINGS; for the first model the word `reference`."""
    found = row.differences
    if found is None:
        return [*_words(row), "reference", *[""] * (len(DIFFERENCE_HEADINGS) - WORD_COLUMNS - 1)]
    metrics = [
        _number(found.metrics.get(name), "+.5f")
        for name in ("mae", "max_f", "weighted_f", "s_measure", "e_measure")
    ]
    return [
        *_words(row),
        *metrics,
        f"{found.mean_difference:.5f}",
        f"{found.worst_difference:.5f}",
        f"{found.worst_iou:.3f}",
        str(found.below_iou_floor),
    ]


def has_differences(rows: Sequence[EvalRow]) -> bool:
    """Whether there is more than one model."""
    return any(row.differences is not None for row in rows)


def notes(rows: Sequence[EvalRow]) -> list[str]:
    """What a reader of the tables has to know."""
    found = [SPEED_NOTE]
    if has_differences(rows):
        found.append(DIFFERENCE_NOTE)
    if any(row.is_off_scale for row in rows):
        found.append(OFF_SCALE_NOTE)
    return found


def protocol_label(protocol: Protocol) -> str:
    """The protocol's name, marked where its figures are no measure of quality."""
    return f"{protocol} (off scale)" if protocol in OFF_SCALE else protocol


def _words(row: EvalRow) -> list[str]:
    return [row.model, row.precision, row.executed, protocol_label(row.protocol)]


def _number(value: float | None, spec: str) -> str:
    return "" if value is None else format(value, spec)
