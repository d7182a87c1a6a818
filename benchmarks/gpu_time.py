"""The GPU benchmark's time: progress lines, the end of the time that is there, and limits that interrupt a step."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# What catches an alarm without raising it, as a destructor does, gets another one.
_AGAIN_SECONDS = 2.0


class TimeLimitError(BaseException):
    """A step took too long. No Exception: compilers that catch these must not go on."""


@dataclass
class RunTime:
    """minutes: of the whole run; stages that may be left out end when they are over."""

    minutes: float
    start: float = field(default_factory=time.perf_counter)

    @property
    def elapsed_s(self) -> float:
        """Since the run began."""
        return time.perf_counter() - self.start

    def left_s(self, *, reserve_s: float = 0) -> float:
        """Until the run should end, less what later stages need."""
        return self.minutes * 60 - reserve_s - self.elapsed_s

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"[{self.elapsed_s:6.1f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def seconds_limit(seconds: float, what: str) -> Iterator[None]:
    """Raises TimeLimitError within the block after so many seconds; in the main thread, between Python's own steps."""

    def ring(number: int, frame: object) -> None:
        raise TimeLimitError(f"{what} took longer than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01), _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
