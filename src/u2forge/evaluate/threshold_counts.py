"""What is selected at each threshold, and how much of it is right: the whole numbers behind every curve."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.evaluate.level_counts import LEVELS, LevelCounts
from u2forge.evaluate.level_scale import LevelScale

_STORED = np.dtype("<i8")


@dataclass(frozen=True, eq=False)
class ThresholdCounts:
    """Of one picture, thresholds ascending.

    selected: (T,) int64, pixels whose value is at least the threshold. hits: (T,) int64, those of them that are
    foreground (where the truth is grey: the sum of their grey levels). foreground: what hits can reach at most;
    pixels: of the picture.
    """

    selected: NDArray[np.int64]
    hits: NDArray[np.int64]
    foreground: int
    pixels: int

    def as_dict(self) -> dict[str, object]:
        """The counts as plain values, for JSON: exact, and short, as most thresholds of a mask change little."""
        steps = np.stack([_differences(self.selected), _differences(self.hits)])
        packed = base64.b64encode(zlib.compress(steps.astype(_STORED).tobytes())).decode("ascii")
        return {
            "foreground": self.foreground,
            "pixels": self.pixels,
            "thresholds": self.selected.size,
            "steps": packed,
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> ThresholdCounts:
        """The counts from `as_dict`. Raises KeyError, TypeError or ValueError on anything else."""
        thresholds = int(values["thresholds"])
        size_bytes = 2 * thresholds * _STORED.itemsize
        raw = _inflated(base64.b64decode(values["steps"], validate=True), size_bytes)
        steps = np.frombuffer(raw, _STORED).astype(np.int64).reshape(2, thresholds)
        return ThresholdCounts(
            selected=_at_least(steps[0]),
            hits=_at_least(steps[1]),
            foreground=int(values["foreground"]),
            pixels=int(values["pixels"]),
        )


def threshold_counts(levels: LevelCounts, scale: LevelScale) -> ThresholdCounts:
    """The counts at the 256 thresholds 0/255, 1/255 … 255/255."""
    foreground = _by_step(levels.foreground, scale)
    background = _by_step(levels.background, scale)
    return counts_of_steps(foreground + background, foreground, foreground=int(foreground.sum()))


def counts_of_steps(
    selected: NDArray[np.int64], hits: NDArray[np.int64], *, foreground: int, below: int = 0
) -> ThresholdCounts:
    """The counts from (T,) sums over the pixels for which each threshold is the highest that they reach.
    below: pixels that reach none."""
    return ThresholdCounts(
        selected=_at_least(selected),
        hits=_at_least(hits),
        foreground=foreground,
        pixels=int(selected.sum()) + below,
    )


def _by_step(counts: NDArray[np.int64], scale: LevelScale) -> NDArray[np.int64]:
    # Weights are float64, exact up to 2**53 pixels.
    return np.bincount(scale.steps, weights=counts, minlength=LEVELS).astype(np.int64)


def _at_least(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums from the last to each; the inverse of `_differences`."""
    return np.cumsum(steps[::-1])[::-1]


def _differences(sums: NDArray[np.int64]) -> NDArray[np.int64]:
    return -np.diff(sums, append=0)


def _inflated(packed: bytes, size_bytes: int) -> bytes:
    """The unpacked bytes, never more than expected. Raises ValueError."""
    inflater = zlib.decompressobj()
    try:
        # One byte more than expected shows that there is too much; 0 would mean no limit.
        raw = inflater.decompress(packed, size_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"packed counts expected; found {error}") from error
    if len(raw) != size_bytes or not inflater.eof:
        raise ValueError(f"{size_bytes} bytes of counts expected; found another number")
    return raw
