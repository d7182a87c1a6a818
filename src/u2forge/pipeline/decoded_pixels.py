"""A decoded Pillow image of any mode to 8-bit RGB and alpha arrays."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_WIDE_MODES = ("I;16", "I;16B", "I;16L", "I", "F")
_ROWS_PER_COPY = 128


@dataclass(frozen=True, eq=False)
class DecodedPixels:
    """rgb: (H, W, 3) uint8; alpha: (H, W) uint8, None where the image has none."""

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None


def decoded_pixels(image: Image.Image, *, turn: Image.Transpose | None) -> DecodedPixels:
    """The pixels as 8-bit RGB and alpha, turned: grey repeated, CMYK and Lab as sRGB.

    16-bit grey is divided by 257, float grey in [0, 1] multiplied by 255, both rounded.
    Raises ValueError for values without a known scale.
    """
    image = _eight_bit(image)
    if turn is not None:
        image = image.transpose(turn)
    if image.mode == "RGBA":
        return DecodedPixels(_pixels(image.convert("RGB")), np.array(image.getchannel("A")))
    return DecodedPixels(_pixels(image), None)


def _eight_bit(image: Image.Image) -> Image.Image:
    """The image as RGB or RGBA."""
    if image.mode in _WIDE_MODES:
        return Image.fromarray(_grey_levels(image)).convert("RGB")
    if image.mode in ("CMYK", "LAB"):
        return _to_srgb(image)
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey_levels(image: Image.Image) -> NDArray[np.uint8]:
    values = np.asarray(image).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 65535):  # false for NaN too
        raise ValueError(f"grey values from {low:g} to {high:g}, not within 0 to 65535")
    if image.mode == "F" and high <= 1:
        scale = 255.0
    elif image.mode == "F" and high <= 255:
        scale = 1.0
    else:
        scale = 1 / 257
    return np.asarray(np.rint(values * np.float32(scale)), dtype=np.uint8)


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode == "LAB":
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    elif isinstance(profile, bytes) and profile[16:20] == b"CMYK":
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        except (OSError, ImageCms.PyCMSError):  # a broken profile: as if it had none
            return image.convert("RGB")
    else:
        return image.convert("RGB")
    try:
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:
        return image.convert("RGB")
    assert converted is not None  # it is None only where inPlace is set
    return converted


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 3), by blocks of rows: half the time of np.asarray(image), which joins small pieces of bytes."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _ROWS_PER_COPY):
        bottom = min(top + _ROWS_PER_COPY, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels
