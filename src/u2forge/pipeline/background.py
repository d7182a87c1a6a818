"""What a composite is put on: a colour or a picture, from the text that the user gave."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from u2forge.errors import InputError
from u2forge.pipeline.picture import Picture
from u2forge.pipeline.read_picture import DEFAULT_MAX_PIXELS, read_picture

_WHITE = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Background:
    """A colour (r, g, b), 0 to 255; or a picture, scaled to cover and cropped around its centre."""

    colour: tuple[int, int, int] = _WHITE
    picture: Picture | None = None

    def image(self, *, height: int, width: int) -> Image.Image:
        """The background as a Pillow image, RGB, of that size."""
        if self.picture is None:
            return Image.new("RGB", (width, height), self.colour)
        photo = Image.fromarray(self.picture.rgb)
        if self.picture.alpha is not None:
            photo = Image.composite(
                photo, Image.new("RGB", photo.size, self.colour), Image.fromarray(self.picture.alpha)
            )
        scale = max(width / photo.width, height / photo.height)
        shown_width, shown_height = width / scale, height / scale
        left, top = max(0.0, (photo.width - shown_width) / 2), max(0.0, (photo.height - shown_height) / 2)
        box = (left, top, min(left + shown_width, photo.width), min(top + shown_height, photo.height))
        return photo.resize((width, height), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)

    def pixels(self, *, height: int, width: int) -> NDArray[np.uint8]:
        """The background as (height, width, 3) uint8."""
        return np.array(self.image(height=height, width=width))


def read_background(text: str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Background:
    """The background that COLOUR|IMAGE names: #rgb, #rrggbb, rgb(…), hsl(…), a CSS name; else a path.
    Raises InputError where it is neither, ImageError where the picture is broken."""
    colour = _colour(text)
    if colour is not None:
        return Background(colour=colour)
    path = Path(text).expanduser()
    if text and path.exists():
        return Background(picture=read_picture(path, max_pixels=max_pixels))
    near = difflib.get_close_matches(text.lower(), ImageColor.colormap, n=1)
    raise InputError(
        where="background",
        expected="a colour (#rgb, #rrggbb, rgb(r, g, b) or a CSS colour name) or the path of a picture",
        found=f"{text!r}, which is neither",
        fix=f"write {near[0]!r}" if near else "write for instance 'white', '#00b140' or a picture's path",
    )


def _colour(text: str) -> tuple[int, int, int] | None:
    """The colour where the text is one; None where it may be a path."""
    try:
        values = ImageColor.getrgb(text.strip())
    except ValueError:
        return None
    if len(values) == 4 and values[3] != 255:
        raise InputError(
            where="background",
            expected="an opaque colour",
            found=f"{text!r}, which is partly transparent",
            fix="leave out its last value, or write cut-outs instead of composites",
        )
    return values[0], values[1], values[2]
