"""An evaluation's page: tables, precision-recall and F curves, the worst pictures, what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from u2forge.evaluate.dataset_scores import Curves
from u2forge.evaluate.eval_row import OFF_SCALE
from u2forge.evaluate.protocols import Protocol
from u2forge.report.eval_result import EvalResult
from u2forge.report.eval_table import (
    DIFFERENCE_HEADINGS,
    FIGURE_HEADINGS,
    WORD_COLUMNS,
    difference_cells,
    figure_cells,
    has_differences,
    notes,
    protocol_label,
)
from u2forge.report.gallery import Gallery, ShownPicture
from u2forge.report.html_page import figure, html_page, image, paragraphs, picture_grid, section, table
from u2forge.report.svg_plot import Series, line_plot


@dataclass(frozen=True)
class ModelCurves:
    """One model's curves by one protocol."""

    label: str
    protocol: Protocol
    curves: Curves


def eval_page(
    result: EvalResult, curves: Sequence[ModelCurves], gallery: Gallery, *, labels: Sequence[str]
) -> str:
    """The page as text. labels: of the models, in their order, unlike each other."""
    rows = result.rows
    body = [
        *paragraphs(result.lines()),
        table(FIGURE_HEADINGS, [figure_cells(row) for row in rows], words=WORD_COLUMNS),
    ]
    if has_differences(rows):
        body.append(section("Differences to the first model"))
        body.append(table(DIFFERENCE_HEADINGS, [difference_cells(row) for row in rows], words=WORD_COLUMNS))
    body += paragraphs(notes(rows))
    body += _plots(curves)
    headings = ["photo", "ground truth", *labels]
    body += _pictures(f"Where {labels[0]} errs most", headings, gallery.worst())
    body += _pictures("Where the models differ most", headings, gallery.apart())
    if result.problems:
        body.append(section(f"Left out ({len(result.problems)})", css="failed"))
        cells = [[found.name, found.problem, found.reason] for found in result.problems]
        body.append(table(["picture", "problem", "reason"], cells, words=3))
    body += _origins(result)
    return html_page(f"u2forge eval: {result.dataset}", body)


def _plots(curves: Sequence[ModelCurves]) -> list[str]:
    parts = []
    for protocol in dict.fromkeys(one.protocol for one in curves):
        own = [one for one in curves if one.protocol == protocol]
        parts += [
            section(f"Curves, protocol {protocol_label(protocol)}"),
            '<div class="plots">',
            *_plot_pair(own, full_scale=None if protocol in OFF_SCALE else 1.0),
            "</div>",
        ]
    return parts


def _plot_pair(curves: Sequence[ModelCurves], *, full_scale: float | None) -> tuple[str, str]:
    recall, f = [], []
    for one in curves:
        thresholds, precisions, recalls, fs = (
            [float(value) for value in values]
            for values in (one.curves.thresholds, one.curves.precision, one.curves.recall, one.curves.f)
        )
        recall.append(Series(one.label, recalls, precisions))
        f.append(Series(one.label, thresholds, fs))
    scale = (0.0, full_scale)
    return (
        line_plot(
            recall,
            title="Precision against recall",
            x_label="recall",
            y_label="precision",
            x_range=scale,
            y_range=scale,
        ),
        line_plot(
            f,
            title="F against threshold",
            x_label="threshold",
            y_label="F (β² = 0.3)",
            x_range=(0.0, 1.0),
            y_range=scale,
        ),
    )


def _pictures(
    heading: str, headings: Sequence[str], pictures: Sequence[tuple[str, ShownPicture]]
) -> list[str]:
    if not pictures:
        return []
    figures = [_figure(name, shown, headings) for name, shown in pictures]
    return [section(f"{heading} ({len(pictures)})"), *picture_grid(headings, figures)]


def _figure(name: str, shown: ShownPicture, headings: Sequence[str]) -> str:
    grey = (shown.truth_png, *shown.masks_png)
    images = [
        image("jpeg", shown.photo_jpeg, f"photo {name}"),
        *(
            image("png", data, f"{heading} of {name}")
            for data, heading in zip(grey, headings[1:], strict=True)
        ),
    ]
    return figure(name, shown.note, images)


def _origins(result: EvalResult) -> list[str]:
    models = dict.fromkeys((row.model, row.precision, row.path, row.digest) for row in result.rows)
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    machine = ", ".join(f"{name} {value}" for name, value in result.machine.items())
    return [
        section("Origins"),
        table(["model", "precision", "file", "sha256"], [*map(list, models)], words=4),
        *paragraphs(
            [f"Machine: {machine}.", f"Versions: {versions}.", f"Pictures: sha256 {result.pairs_digest}."]
        ),
    ]
