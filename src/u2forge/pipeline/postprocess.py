"""The network's probability map to a mask or a map of the picture's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from u2forge.profiles import PostProfile, PreProfile


def postprocess(
    probability: NDArray[np.float32], *, height: int, width: int, post: PostProfile, pre: PreProfile
) -> NDArray[np.uint8]:
    """(height, width) uint8 mask of an (h, w) float32 map in [0, 1]. Raises EngineError on NaN or inf."""
    raise NotImplementedError


def resize_probability(probability: NDArray[np.float32], *, height: int, width: int) -> NDArray[np.float32]:
    """(height, width) float32 in [0, 1]: the un-stretched map at the picture's size. Raises EngineError on NaN."""
    raise NotImplementedError


def quantize_probability(probability: NDArray[np.float32]) -> NDArray[np.uint16]:
    """(H, W) uint16, 65535 for 1.0: for --output probability as 16-bit PNG (TIFF keeps float32)."""
    raise NotImplementedError
