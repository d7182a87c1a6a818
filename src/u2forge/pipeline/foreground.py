"""A photo and its mask to the object's own colours at soft edges, free of the background behind them.

At an edge a photo's pixel is I = alpha F + (1 - alpha) B; on another background its B makes a halo. Blur
fusion estimates F and B as alpha-weighted means of the colours around, here on a coarse grid (masks have no
finer detail), and solves for F with the photo's own pixel, so that its texture stays.
Source: M. Forte, Approximate Fast Foreground Colour Estimation, ICIP 2021, two passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Float32 = NDArray[np.float32]
Uint8 = NDArray[np.uint8]

# Longest side of the coarse grid; a finer one gains nothing, as masks come from maps of 320 × 320.
_GRID = 224
# Radii of the two passes in shares of the grid; the paper's 90 and 6 pixels are for pictures of about 1000.
_FAR = 0.09
_NEAR = 0.01
_TILE = 128
# Below this share of foreground or background in a window, its mean is noise. Value: the paper's code.
_EPSILON = 1e-5
# A pixel this close to 0 or 255 changes by about a grey level: where a tile has no softer ones, it stays.
_SURE = 3


@dataclass(frozen=True, eq=False)
class _Colours:
    """Mean colours of foreground and background around each point of the coarse grid, which begins at pixel
    (top, left) and has a point every `step` pixels."""

    foreground: Image.Image
    background: Image.Image
    top: int
    left: int
    step: int


def decontaminate(rgb: Uint8, mask: Uint8, *, out: Uint8) -> None:
    """Writes the object's own colour into `out` where the mask is soft.

    rgb, out: (H, W, 3) uint8, out already a copy of rgb (any strides); mask: (H, W) uint8. Where the mask is
    255 the pixels stay as they are, bit by bit; where it is 0 they may change, as nobody sees them.
    """
    top, bottom, left, right = _bounds(mask)
    colours: _Colours | None = None
    for y in range(top, bottom, _TILE):
        for x in range(left, right, _TILE):
            tile = (slice(y, min(y + _TILE, bottom)), slice(x, min(x + _TILE, right)))
            if not ((mask[tile] - np.uint8(_SURE + 1)) < 254 - 2 * _SURE).any():
                continue
            if colours is None:
                colours = _estimate_colours(rgb, mask)
            out[tile] = _solve(rgb[tile], mask[tile], colours, y=y, x=x)


def _solve(rgb: Uint8, mask: Uint8, colours: _Colours, *, y: int, x: int) -> Uint8:
    """F = F' + alpha (I - B' - alpha (F' - B')) for one tile, F' and B' the mean colours there."""
    height, width = mask.shape
    box_left, box_top = (x - colours.left) / colours.step, (y - colours.top) / colours.step
    box = (box_left, box_top, box_left + width / colours.step, box_top + height / colours.step)

    def enlarged(image: Image.Image) -> Float32:
        tile = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
        return np.asarray(tile).reshape(height, width * 3).astype(np.float32)

    foreground, background = enlarged(colours.foreground), enlarged(colours.background)
    alpha = (mask * np.float32(1 / 255)).repeat(3, axis=1)
    solved = rgb.reshape(height, width * 3) - background
    background -= foreground
    background *= alpha
    solved += background
    solved *= alpha
    solved += foreground
    solved += np.float32(0.5)
    np.minimum(np.maximum(solved, 0, out=solved), 255, out=solved)
    return solved.astype(np.uint8).reshape(height, width, 3)


def _estimate_colours(rgb: Uint8, mask: Uint8) -> _Colours:
    """Both passes on the coarse grid, which covers the object and a margin."""
    top, bottom, left, right = _bounds(mask)
    margin = round(max(bottom - top, right - left) * _FAR)
    top, left = max(top - margin, 0), max(left - margin, 0)
    bottom, right = min(bottom + margin, mask.shape[0]), min(right + margin, mask.shape[1])
    longest = max(bottom - top, right - left)
    step = -(-longest // _GRID)
    rows = np.minimum(np.arange(top + step // 2, bottom + step // 2, step), mask.shape[0] - 1)
    columns = np.minimum(np.arange(left + step // 2, right + step // 2, step), mask.shape[1] - 1)
    image = rgb[rows[:, None], columns].astype(np.float32)
    alpha = mask[rows[:, None], columns, None] * np.float32(1 / 255)
    far, near = max(2, round(longest / step * _FAR)), max(1, round(longest / step * _NEAR))
    mean_foreground, mean_background = _mean_colours(image, image, alpha, radius=far)
    foreground = mean_foreground + alpha * (image - alpha * mean_foreground - (1 - alpha) * mean_background)
    np.clip(foreground, 0, 255, out=foreground)
    mean_foreground, mean_background = _mean_colours(foreground, mean_background, alpha, radius=near)
    return _Colours(_as_image(mean_foreground), _as_image(mean_background), top, left, step)


def _mean_colours(
    foreground: Float32, background: Float32, alpha: Float32, *, radius: int
) -> tuple[Float32, Float32]:
    """Means over a square window, weighted by alpha² and by (1 - alpha)². All (h, w, 3), alpha (h, w, 1).

    Squared, as a sure pixel tells more than many half-mixed ones: against the paper's plain alpha, the error
    on made-up composites falls from 0.42 to 0.37 of the untreated one's, on smooth ones from 0.22 to 0.12.
    """
    sure, empty = alpha**2, (1 - alpha) ** 2
    weighted = np.concatenate([foreground * sure, background * empty, sure, empty], axis=2)
    sums = _window_sums(_window_sums(weighted, radius, axis=0), radius, axis=1)
    return sums[:, :, :3] / (sums[:, :, 6:7] + _EPSILON), sums[:, :, 3:6] / (sums[:, :, 7:8] + _EPSILON)


def _window_sums(values: Float32, radius: int, *, axis: int) -> Float32:
    """Sums over 2 × radius + 1 neighbours along one axis; windows are cut off at the ends."""
    size = values.shape[axis]
    running = np.zeros([length + (number == axis) for number, length in enumerate(values.shape)], np.float32)
    np.cumsum(values, axis=axis, out=running[1:] if axis == 0 else running[:, 1:])
    place = np.arange(size)
    ends, starts = np.minimum(place + radius + 1, size), np.maximum(place - radius, 0)
    return np.asarray(running.take(ends, axis=axis) - running.take(starts, axis=axis))


def _as_image(colours: Float32) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(colours), 0, 255).astype(np.uint8))


def _bounds(mask: Uint8) -> tuple[int, int, int, int]:
    """First and last-plus-one row and column where the mask is not 0; all 0 where there is none."""
    rows, columns = np.flatnonzero(mask.max(axis=1)), np.flatnonzero(mask.max(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
