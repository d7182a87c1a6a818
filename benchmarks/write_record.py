"""A benchmark's record → its JSON file: the place checked before hours of measuring, the file whole at any moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from u2forge.atomic_file import write_atomic, write_hindrance


def check_place(path: Path | None) -> None:
    """Raises SystemExit where no file could be written there. None: no record is asked for."""
    if path is None:
        return
    missing = not path.parent.is_dir()
    found = f"no folder {path.parent}" if missing else write_hindrance(path)
    if found:
        raise SystemExit(f"--json {path}: {found}; choose another place")


def write_record(path: Path | None, record: Mapping[str, Any]) -> None:
    """Writes it anew, in place of what was there. None: nothing."""
    if path is not None:
        write_atomic(path, (json.dumps(record, indent=1) + "\n").encode())
