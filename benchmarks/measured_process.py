"""Runs one command and measures it from outside: wall time, processor time, peak resident memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """wall_s and cpu_s in seconds; peak_mb: the largest resident memory, in megabytes (10^6 bytes)."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def run_measured(command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> Measured:
    """What the command took. Raises RuntimeError with the end of its output where it fails."""
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            list(command), env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{tail}")
    return Measured(
        wall_s=wall_s, cpu_s=usage.ru_utime + usage.ru_stime, peak_mb=usage.ru_maxrss * 1024 / 1e6
    )
