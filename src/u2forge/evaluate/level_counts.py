"""An 8-bit mask and a ground truth → the mask's levels, counted apart in foreground and background.

All that a threshold decides (precision, recall, F, E) and the mean error follow from these 512 numbers, whatever the
number of pixels and of thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVELS = 256


@dataclass(frozen=True, eq=False)
class LevelCounts:
    """Pixels by level. foreground, background: (256,) int64, of the ground truth."""

    foreground: NDArray[np.int64]
    background: NDArray[np.int64]


def level_counts(mask: NDArray[np.uint8], truth: NDArray[np.bool_]) -> LevelCounts:
    """The joint histogram of two (H, W) arrays: levels of the mask, foreground of the truth."""
    joint = truth * np.uint16(LEVELS) + mask
    counts = np.bincount(joint.ravel(), minlength=2 * LEVELS).astype(np.int64, copy=False)
    return LevelCounts(foreground=counts[LEVELS:], background=counts[:LEVELS])
