"""What to do about results that are there already: refuse, resume behind them, or replace them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

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
