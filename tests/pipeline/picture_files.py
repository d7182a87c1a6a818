"""Small pictures of known pixels, and files of them in every format that u2forge reads."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def photo(height: int = 40, width: int = 60, *, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth, coloured picture without symmetry: lossy formats hold it well."""
    y, x = np.mgrid[0:height, 0:width]
    tilt = 60 + seed % 7 * 10
    planes = [40 + 200 * x / width, 230 - 190 * y / height, tilt + 90 * (x + 2 * y) / (width + 2 * height)]
    return np.stack(planes, axis=2).astype(np.uint8)


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    """The image's file."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def loaded(data: bytes) -> Image.Image:
    """The file decoded by Pillow."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
