"""What a test sees and decides of the double: every call in order, which of them fail, what the SDK counts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Recorder:
    """calls: (name, arguments); failing: call name → message of the Status that it answers with, or of None where a
    call makes an object; systems: how many Systems are entered; alive: names of objects that are there."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    failing: dict[str, str] = field(default_factory=dict)
    devices: int = 2
    systems: int = 0
    alive: dict[int, str] = field(default_factory=dict)
    outlived: list[str] = field(default_factory=list)
    renamed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, name: str, *arguments: Any) -> str | None:
        """Notes a call; the message where it is to fail."""
        with self.lock:
            self.calls.append((name, *arguments))
        return self.failing.get(name)

    def names(self) -> list[str]:
        """The calls' names, repeated ones once."""
        found: list[str] = []
        for name, *_ in self.calls:
            if not found or found[-1] != name:
                found.append(name)
        return found

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of that name."""
        return [tuple(arguments) for called, *arguments in self.calls if called == name]


RECORDER = Recorder()
