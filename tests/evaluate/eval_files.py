"""Runs eval through the command line and reads what it wrote."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from u2forge.cli.main import main

# Pairs in the made-up data set: more than the page shows.
COUNT = 26


def run_json(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> dict[str, Any]:
    assert main(["eval", *map(str, words), "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def csv_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "pictures.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
