"""What a composite is put on: a colour or a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from u2forge.pipeline.picture import Picture
from u2forge.pipeline.read_picture import DEFAULT_MAX_PIXELS


@dataclass(frozen=True)
class Background:
    """One of the two: a colour (r, g, b), 0 to 255, or a picture, to be scaled and cropped to cover."""

    colour: tuple[int, int, int] | None = None
    picture: Picture | None = None

    def pixels(self, *, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8; a colour comes as a read-only broadcast view."""
        raise NotImplementedError


def read_background(text: str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Background:
    """The background that COLOUR|IMAGE names. Raises InputError, or ImageError for a broken picture."""
    raise NotImplementedError
