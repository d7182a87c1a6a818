"""How many pixels may be decoded at once: a bound on memory that huge pictures keep too."""

from __future__ import annotations

import threading
from pathlib import Path

from u2forge.errors import U2ForgeError
from u2forge.pipeline.read_picture import read_size

# What a file counts as that will not be decoded in all likelihood.
_UNKNOWN_PIXELS = 1_000_000


class PixelBudget:
    """Pixels shared out to pictures in flight. A picture larger than all of them gets in alone."""

    def __init__(self, pixels: int) -> None:
        self._limit = pixels
        self._used = 0
        self._lock = threading.Lock()

    def take(self, pixels: int) -> bool:
        """Takes them where they are free; whether they were."""
        with self._lock:
            if self._used and self._used + pixels > self._limit:
                return False
            self._used += pixels
            return True

    def give_back(self, pixels: int) -> None:
        """Frees what was taken."""
        with self._lock:
            self._used -= pixels


def pixels_of(path: Path, *, max_pixels: int) -> int:
    """The pixels of a picture by its header alone; a guess where that cannot be read or is refused as too
    large."""
    try:
        width, height = read_size(path)
    except U2ForgeError:
        return _UNKNOWN_PIXELS
    return width * height if 0 < width * height <= max_pixels else _UNKNOWN_PIXELS
