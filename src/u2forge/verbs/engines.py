"""engines: what this machine can run."""

from __future__ import annotations

from u2forge.engine.availability import EngineStatus, available_engines


def engines() -> list[EngineStatus]:
    """Every engine with its version, devices and the precisions that really run, or why it is not available."""
    return available_engines()
