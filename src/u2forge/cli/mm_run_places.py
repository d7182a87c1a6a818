"""Where mm_run is to write its files → checked before it measures; reads the folders, writes nothing."""

from __future__ import annotations

from pathlib import Path

from u2forge.atomic_file import write_hindrance, writing
from u2forge.errors import OutputError

_TRACE_NAME = "dev0_trace.json"


def trace_file(place: Path) -> Path:
    """The file of --trace_path: itself where it is named .json, else the usual name in that folder."""
    return place if place.suffix == ".json" else place / _TRACE_NAME


def check_file(path: Path, *, flag: str) -> None:
    """Raises OutputError where that file cannot be written: a folder of that name, a file where a folder is meant, a
    folder that may not be written to. Missing folders will be made."""
    # A name that is too long, say, is an error of the system.
    with writing(path):
        found = write_hindrance(path)
    if found:
        raise OutputError(
            where=f"--{flag}, {path}",
            expected="a file that can be written, in a folder that is there or can be made",
            found=found,
            fix=f"choose another --{flag}",
        )
