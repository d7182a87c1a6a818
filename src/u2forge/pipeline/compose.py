"""A picture and its mask to a cut-out or a composite."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from u2forge.pipeline.background import Background
from u2forge.pipeline.picture import Picture


def cutout(picture: Picture, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4) uint8, straight alpha = mask × the picture's own alpha, edges decontaminated."""
    raise NotImplementedError


def composite(picture: Picture, mask: NDArray[np.uint8], background: Background) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: the cut-out over the background."""
    raise NotImplementedError
