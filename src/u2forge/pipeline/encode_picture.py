"""Pixels to the bytes of a picture file."""

from __future__ import annotations

from typing import Any, Literal, get_args

from numpy.typing import NDArray

PictureFormat = Literal["png", "webp", "jpeg", "avif", "tiff"]
PICTURE_FORMATS: tuple[PictureFormat, ...] = get_args(PictureFormat)
FILE_SUFFIX: dict[PictureFormat, str] = {
    "png": ".png",
    "webp": ".webp",
    "jpeg": ".jpg",
    "avif": ".avif",
    "tiff": ".tiff",
}


def encode_picture(
    pixels: NDArray[Any],
    *,
    format: PictureFormat,
    quality: int | None = None,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
) -> bytes:
    """The picture file's bytes. Raises InputError where the format cannot hold such pixels."""
    raise NotImplementedError
