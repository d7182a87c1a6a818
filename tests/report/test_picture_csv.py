"""Cells that a spreadsheet would run."""

import csv
import io

import pytest

from u2forge.evaluate.datasets import PairProblem
from u2forge.evaluate.picture_record import PictureRecord
from u2forge.report.picture_csv import COLUMNS, safe_cell, write_picture_csv


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_are_disarmed(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


def test_other_text_stays() -> None:
    assert safe_cell("a=b.jpg") == "a=b.jpg"
    assert safe_cell("") == ""


def test_quotes_and_newlines_stay_in_their_cell() -> None:
    name = 'a",\n"b.jpg'
    file = io.StringIO(newline="")
    record = PictureRecord(name, 4, 3, (), PairProblem(name, "failed", "=x"))
    write_picture_csv(file, [record], models=[])
    (row,) = csv.DictReader(io.StringIO(file.getvalue(), newline=""))
    assert tuple(row) == COLUMNS
    assert (row["picture"], row["problem"]) == (name, "failed: =x")
