"""The commit that a benchmark's figures belong to."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit() -> str | None:
    """The checkout's commit, `-dirty` where files differ from it; None outside of one."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:  # no git
        return None
    return answer.stdout.strip() or None
