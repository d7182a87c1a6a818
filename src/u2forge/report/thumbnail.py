"""Pixels to few pixels: what a page carries of a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def thumbnail(pixels: NDArray[np.uint8], *, side: int) -> NDArray[np.uint8]:
    """(h, w) or (h, w, channels) uint8: smaller where a side is longer than `side`, else as it is."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    return np.asarray(image)
