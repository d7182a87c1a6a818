"""The records of an evaluation → a CSV table, a row for each picture, model and protocol."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO

from u2forge.evaluate.eval_row import finite_metrics
from u2forge.evaluate.picture_record import PictureRecord
from u2forge.evaluate.protocols import FIGURES

COLUMNS = (
    "picture",
    "width",
    "height",
    "model",
    "precision",
    "protocol",
    *FIGURES,
    "engine_ms",
    "mean_difference",
    "iou",
    "problem",
)
# What spreadsheets take a cell for a formula by. Source: OWASP, CSV injection.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_picture_csv(
    file: TextIO, records: Iterable[PictureRecord], *, models: Sequence[tuple[str, str]]
) -> None:
    """Writes the table. models: name and precision of each, in the records' order. A picture that was left out has
    one row, with the problem."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for record in records:
        writer.writerows(_rows(record, models))


def _rows(record: PictureRecord, models: Sequence[tuple[str, str]]) -> list[list[object]]:
    head: list[object] = [safe_cell(record.name), record.width, record.height]
    if record.problem is not None:
        blank = [""] * (len(COLUMNS) - len(head) - 1)
        return [[*head, *blank, safe_cell(f"{record.problem.problem}: {record.problem.reason}")]]
    rows = []
    for (name, precision), result in zip(models, record.models, strict=True):
        parity = ["", ""] if result.parity is None else [result.parity.mean_difference, result.parity.iou]
        for protocol, scores in result.scores.items():
            figures = finite_metrics({metric: getattr(scores, metric) for metric in FIGURES})
            metrics = ["" if value is None else value for value in figures.values()]
            model = [safe_cell(name), precision, protocol]
            rows.append([*head, *model, *metrics, round(result.seconds * 1000, 3), *parity, ""])
    return rows


def safe_cell(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet would run as a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
