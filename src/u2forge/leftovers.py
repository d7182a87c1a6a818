"""What runs that were killed left behind: temporary files whose writer is gone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from u2forge.atomic_file import TEMPORARY_SUFFIX


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
