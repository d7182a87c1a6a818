"""Writes what an evaluation found into its folder: JSON, a CSV table of pictures, a page to look at."""

from __future__ import annotations

import json
from collections.abc import Sequence

from u2forge.evaluate.model_totals import ModelTotals
from u2forge.report.eval_page import ModelCurves, eval_page
from u2forge.report.eval_result import EvalResult
from u2forge.report.gallery import Gallery
from u2forge.report.picture_csv import write_picture_csv
from u2forge.verbs.eval_folder import CSV_NAME, PAGE_NAME, RESULT_NAME, EvalFolder
from u2forge.verbs.eval_models import OpenedModel, model_labels


def write_results(
    folder: EvalFolder,
    result: EvalResult,
    *,
    models: Sequence[OpenedModel],
    totals: Sequence[ModelTotals],
    gallery: Gallery,
) -> None:
    """Writes the three files, eval.json last: where it is there, all are. Raises OutputError."""
    with folder.result_file(CSV_NAME) as file:
        names = [(model.name, model.precision) for model in models]
        write_picture_csv(file, folder.records(), models=names)
    labels = model_labels(models)
    curves = [
        ModelCurves(label, protocol, scores.curves())
        for label, total in zip(labels, totals, strict=True)
        for protocol, scores in total.scores.items()
    ]
    with folder.result_file(PAGE_NAME) as file:
        file.write(eval_page(result, curves, gallery, labels=labels))
    with folder.result_file(RESULT_NAME) as file:
        file.write(json.dumps(result.as_dict(), indent=1, allow_nan=False) + "\n")
