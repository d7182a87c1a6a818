"""How long ago a moment of time.perf_counter was."""

from __future__ import annotations

import time


def ms_since(start: float) -> float:
    """Milliseconds since `start`, which time.perf_counter gave."""
    return (time.perf_counter() - start) * 1000
