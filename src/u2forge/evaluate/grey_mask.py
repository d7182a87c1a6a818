"""A decoded mask → the ground truth as one channel, where it is grey."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from u2forge.pipeline.picture import Picture

# Pillow's modes of one channel without a palette.
_GREY_MODES = frozenset({"1", "L", "I", "I;16", "I;16B", "I;16L", "F"})


def is_grey_header(image: Image.Image) -> bool:
    """Whether the header alone says that the mask is grey; others have to be decoded to know."""
    return image.mode in _GREY_MODES and not image.has_transparency_data


def grey_of(mask: Picture) -> NDArray[np.uint8] | None:
    """(H, W) uint8, the one channel of a mask whose three are equal; None where it has colours or transparency."""
    if mask.alpha is not None:
        return None
    red, green, blue = (mask.rgb[:, :, channel] for channel in range(3))
    if not (np.array_equal(red, green) and np.array_equal(red, blue)):
        return None
    return np.ascontiguousarray(red)
