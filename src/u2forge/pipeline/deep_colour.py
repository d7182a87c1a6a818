"""Files of 16 bits a colour channel to 8 bits, rounded; Pillow by itself drops the low byte of each value."""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageFile

# Reading with the bytes of each value in the wrong order gives the low byte where the high one is asked for.
_SWAPPED = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_RAW_MODES = {f"{mode};16{order}" for mode in ("RGB", "RGBA") for order in _SWAPPED}


def is_deep_colour(image: Image.Image) -> bool:
    """Whether an image whose header is read, but not its pixels, has 16-bit RGB or RGBA values."""
    return isinstance(image, ImageFile.ImageFile) and bool(image.tile) and _raw_mode(image) in _RAW_MODES


def rounded_colour(high: Image.Image, low: ImageFile.ImageFile) -> Image.Image:
    """The image with value / 257, rounded, in each channel. high: the file, decoded; low: its header only."""
    tiles = []
    for tile in low.tile:
        swapped = _raw_mode(low)[:-1] + _SWAPPED[_raw_mode(low)[-1]]
        args = swapped if isinstance(tile.args, str) else (swapped, *(tile.args or ())[1:])
        tiles.append(tile._replace(args=args))
    low.tile = tiles
    low.load()
    values = np.asarray(high).astype(np.uint32) << 8
    values += np.asarray(low)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _raw_mode(image: ImageFile.ImageFile) -> str:
    args = image.tile[0].args
    return args if isinstance(args, str) else str(args[0]) if args else ""
