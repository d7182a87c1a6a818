"""Pictures far outside of what calibration saw: noise, checkerboards, one colour, gradients, photos made strange.

The same ones for the same photos, each (320, 320, 3) uint8 RGB or a photo's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from u2forge.pipeline.read_picture import read_picture

SIZE = 320
SEED = 20261125
_PERIODS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64)
# One of each corner of the cube of colours, and two greys; the rest by chance.
_COLOURS = [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)] + [(1, 1, 1), (128, 128, 128)]

Picture = Any  # NDArray[np.uint8]
Make = Callable[[int, np.random.Generator, Sequence[Path]], Picture]


def far_pictures(count: int, photos: Sequence[Path]) -> Iterator[tuple[str, str, Picture]]:
    """(kind, name, picture), as many of each kind as make `count`, kinds in turn. photos: what photos are taken from,
    in their order."""
    for index in range(count):
        kind, number = list(KINDS)[index % len(KINDS)], index // len(KINDS)
        random = np.random.default_rng((SEED, index))
        yield kind, f"{kind} {number}", KINDS[kind](number, random, photos)


def _noise(number: int, random: np.random.Generator, photos: Sequence[Path]) -> Picture:
    return random.integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def _coarse_noise(number: int, random: np.random.Generator, photos: Sequence[Path]) -> Picture:
    cell = (2, 4, 8, 16, 32)[number % 5]
    side = SIZE // cell
    cells = random.integers(0, 256, (side, side, 3), np.uint8)
    return cells.repeat(cell, 0).repeat(cell, 1)


def _black_and_white_noise(number: int, random: np.random.Generator, photos: Sequence[Path]) -> Picture:
    levels = random.integers(0, 2, (SIZE, SIZE, 1), np.uint8) * np.uint8(255)
    return levels.repeat(3, 2)


def _checkerboard(number: int, random: np.random.Generator, photos: Sequence[Path]) -> Picture:
    period = _PERIODS[number % len(_PERIODS)]
    y, x = np.indices((SIZE, SIZE)) // period
    # The first round is black and white, the second of two colours.
    dark, light = (0, 255) if number < len(_PERIODS) else random.integers(0, 256, (2, 3), np.uint8)
    return np.where(((y + x) % 2 == 0)[..., None], np.uint8(dark), np.uint8(light)).repeat(
        3 if number < len(_PERIODS) else 1, 2
    )


def _pure_colour(number: int, random: np.random.Generator, photos: Sequence[Path]) -> Picture:
    colour = _COLOURS[number] if number < len(_COLOURS) else random.integers(0, 256, 3)
    return np.broadcast_to(np.array(colour, np.uint8), (SIZE, SIZE, 3)).copy()


def _gradient(number: int, random: np.random.Generator, photos: Sequence[Path]) -> Picture:
    angle, (start, end) = random.uniform(0, 2 * np.pi), random.uniform(0, 255, (2, 3))
    if number % 5 == 0:
        start, end = np.zeros(3), np.full(3, 255.0)
    y, x = np.indices((SIZE, SIZE)) / (SIZE - 1) - 0.5
    along = y * np.sin(angle) + x * np.cos(angle)
    share = ((along - along.min()) / (along.max() - along.min()))[..., None]
    return np.rint(start + share * (end - start)).astype(np.uint8)


def _inverted(number: int, random: np.random.Generator, photos: Sequence[Path]) -> Picture:
    return 255 - _photo(number, photos)


def _swapped(number: int, random: np.random.Generator, photos: Sequence[Path]) -> Picture:
    orders = ([2, 1, 0], [1, 2, 0], [2, 0, 1], [0, 2, 1], [1, 0, 2])
    return np.ascontiguousarray(_photo(number, photos)[..., orders[number % len(orders)]])


def _extreme_contrast(number: int, random: np.random.Generator, photos: Sequence[Path]) -> Picture:
    """Each channel black or white, from its median on; every other one with the contrast ten times as large."""
    photo = _photo(number, photos).astype(np.float32)
    middle = np.median(photo, axis=(0, 1))
    if number % 2 == 0:
        return np.where(photo >= middle, 255, 0).astype(np.uint8)
    return np.clip((photo - middle) * 10 + 128, 0, 255).astype(np.uint8)


def _photo_of_dots(number: int, random: np.random.Generator, photos: Sequence[Path]) -> Picture:
    """A photo, each channel of half of its pixels black or white."""
    photo = _photo(number, photos)
    picture = Image.fromarray(photo).resize((SIZE, SIZE))
    levels = np.array(picture)
    others = random.integers(0, 2, (SIZE, SIZE, 3), np.uint8) * np.uint8(255)
    return np.where(random.random((SIZE, SIZE, 1)) < 0.5, others, levels)


def _photo(number: int, photos: Sequence[Path]) -> Picture:
    return read_picture(photos[number % len(photos)]).rgb


KINDS: dict[str, Make] = {
    "uniform noise": _noise,
    "coarse noise": _coarse_noise,
    "black and white noise": _black_and_white_noise,
    "checkerboard": _checkerboard,
    "pure colour": _pure_colour,
    "gradient": _gradient,
    "inverted photo": _inverted,
    "channel-swapped photo": _swapped,
    "extreme contrast": _extreme_contrast,
    "photo under dots": _photo_of_dots,
}
