"""A result of perf → the files that were asked for, each written whole or not at all."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping, Sequence
from pathlib import Path

from u2forge.atomic_file import write_atomic, write_hindrance
from u2forge.errors import InputError, OutputError
from u2forge.measure.perf_row import PerfResult
from u2forge.report.perf_csv import perf_csv
from u2forge.report.perf_page import perf_page


def check_places(places: Mapping[str, str | Path | None], *, models: Sequence[str | Path]) -> None:
    """Raises, before anything runs, InputError on a file whose name does not end in its kind (a model that
    slipped behind --json, say), OutputError on a folder that is not there."""
    for kind, place in places.items():
        if place is None:
            continue
        path = Path(place).expanduser()
        if path.suffix.lower() != f".{kind}":
            raise InputError(
                where=f"perf, option {kind!r}",
                expected=f"a file name that ends in .{kind}",
                found=repr(str(place)),
                fix=f"give result.{kind}, say"
                + ("; a model comes before the options" if place in models or path.suffix == ".onnx" else ""),
            )
        missing = not path.parent.is_dir()
        found = f"no folder {path.parent}" if missing else write_hindrance(path)
        if found:
            raise OutputError(
                where=f"perf, option {kind!r}, {path}",
                expected="a file in a folder that can be written to",
                found=found,
                fix="choose another place",
            )


def write_results(
    result: PerfResult,
    *,
    json: str | Path | None,
    csv: str | Path | None,
    html: str | Path | None,
) -> None:
    """Writes the files that were asked for. Raises OutputError where one could not be, after trying the others."""
    failure: OutputError | None = None
    for place, as_text in ((json, _json), (csv, perf_csv), (html, perf_page)):
        if place is None:
            continue
        try:
            write_atomic(Path(place).expanduser(), as_text(result).encode())
        except OutputError as error:
            failure = failure or error
    if failure is not None:
        raise failure


def _json(result: PerfResult) -> str:
    return json_format.dumps(result.as_dict(), indent=1, allow_nan=False) + "\n"
