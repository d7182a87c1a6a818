"""A picture's pixels to the network's input, by profile."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from u2forge.profiles import PreProfile


def preprocess(
    rgb: NDArray[np.uint8], *, height: int, width: int, profile: PreProfile
) -> NDArray[np.float32]:
    """(3, height, width) float32, normalised, of an (H, W, 3) uint8 picture."""
    raise NotImplementedError


def preprocess_uint8(
    rgb: NDArray[np.uint8], *, height: int, width: int, profile: PreProfile
) -> NDArray[np.uint8]:
    """(height, width, 3) uint8: only resized, for graphs that normalise inside."""
    raise NotImplementedError
