"""What to do about results that are there already: refuse, resume behind them, or replace them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from u2forge.atomic_file import TEMPORARY_SUFFIX
from u2forge.errors import OutputError


def refuse_existing(outputs: Sequence[Path]) -> None:
    """Raises OutputError where any of `outputs` is there, with their number."""
    there = [path for path in outputs if os.path.lexists(path)]
    if there:
        raise OutputError(
            where=f"output {there[0]}" if len(outputs) == 1 else f"output folder, {there[0]} and others",
            expected="no results there yet",
            found=f"{len(there)} of {len(outputs)} results there already",
            fix="continue that job with --resume, redo it with --existing replace, or name another output",
        )


def is_finished(source: Path, output: Path, *, job_started_ns: int) -> bool:
    """Whether `output` is there, written since the job began and since its source last changed.

    Results appear under their names whole or not at all, so one that is there is whole. A source dated in the
    future (a camera's clock) says nothing.
    """
    try:
        written_ns = output.stat().st_mtime_ns
        if written_ns < job_started_ns:
            return False
        changed_ns = source.stat().st_mtime_ns
    except OSError:
        return False
    return changed_ns <= written_ns or changed_ns > time.time_ns()


def remove_leftovers(folders: Iterable[Path]) -> int:
    """The number of temporary files of dead runs that were in `folders` and are gone now."""
    removed = 0
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if entry.name.endswith(TEMPORARY_SUFFIX)]
        except OSError:
            continue
        for name in names:
            if not _writer_lives(name):
                (folder / name).unlink(missing_ok=True)
                removed += 1
    return removed


def _writer_lives(name: str) -> bool:
    """Whether the process in a temporary file's name (atomic_file: .NAME.PID-RANDOM.suffix) runs and is not
    this one."""
    process = name.removesuffix(TEMPORARY_SUFFIX).rpartition(".")[2].partition("-")[0]
    if os.name != "posix" or not process.isdigit() or int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
