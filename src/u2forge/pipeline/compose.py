"""A picture and its mask to a cut-out (straight alpha) or a composite on a background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from u2forge.errors import InputError
from u2forge.pipeline.background import Background
from u2forge.pipeline.foreground import decontaminate
from u2forge.pipeline.picture import Picture

Uint8 = NDArray[np.uint8]


def cutout(picture: Picture, mask: Uint8) -> Uint8:
    """(H, W, 4) uint8: the picture's colours, freed of the background at soft edges, with straight alpha.

    mask: (H, W) uint8; alpha = mask × the picture's own alpha. Fully transparent pixels are black: the file
    gets smaller, and nothing of the background stays in it. Opaque pixels are the picture's, bit by bit.
    Raises InputError where the mask is of another size.
    """
    _check(picture, mask)
    pixels = np.empty((picture.height, picture.width, 4), np.uint8)
    for channel in range(3):  # one by one: numpy copies runs of three bytes slowly
        pixels[:, :, channel] = picture.rgb[:, :, channel]
    decontaminate(picture.rgb, mask, out=pixels[:, :, :3])
    alpha = _alpha(picture, mask)
    pixels[:, :, 3] = alpha
    words = pixels.view(np.uint32)[:, :, 0]
    np.multiply(words, alpha != 0, out=words)
    return pixels


def composite(picture: Picture, mask: Uint8, background: Background) -> Uint8:
    """(H, W, 3) uint8: the cut-out over the background. Raises InputError on a mask of another size."""
    _check(picture, mask)
    colours = picture.rgb.copy()
    decontaminate(picture.rgb, mask, out=colours)
    behind = background.image(height=picture.height, width=picture.width)
    over = Image.composite(Image.fromarray(colours), behind, Image.fromarray(_alpha(picture, mask)))
    return np.asarray(over)


def _alpha(picture: Picture, mask: Uint8) -> Uint8:
    if picture.alpha is None:
        return mask
    product = mask.astype(np.uint16) * picture.alpha
    return ((product + 127) // 255).astype(np.uint8)


def _check(picture: Picture, mask: Uint8) -> None:
    if mask.dtype != np.uint8 or mask.shape != picture.rgb.shape[:2]:
        raise InputError(
            where=f"composing {picture.source}, argument 'mask'",
            expected=f"uint8 {picture.rgb.shape[:2]}, the picture's height and width",
            found=f"{mask.dtype} {mask.shape}",
            fix="pass the result of postprocess() for this picture",
        )
