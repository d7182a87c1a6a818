"""Pixels to the bytes of a picture file: PNG, WebP, JPEG, AVIF or TIFF."""

from __future__ import annotations

import io
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from u2forge.errors import InputError
from u2forge.pipeline.png_bytes import png_bytes

PictureFormat = Literal["png", "webp", "jpeg", "avif", "tiff"]
PICTURE_FORMATS: tuple[PictureFormat, ...] = get_args(PictureFormat)
FILE_SUFFIX: dict[PictureFormat, str] = {
    "png": ".png",
    "webp": ".webp",
    "jpeg": ".jpg",
    "avif": ".avif",
    "tiff": ".tiff",
}

_KINDS: dict[PictureFormat, str] = {
    "png": "uint8 or uint16 (H, W), uint8 (H, W, 3), uint8 (H, W, 4)",
    "webp": "uint8 (H, W), (H, W, 3) or (H, W, 4)",
    "jpeg": "uint8 (H, W) or (H, W, 3)",
    "avif": "uint8 (H, W), (H, W, 3) or (H, W, 4)",
    "tiff": "uint8, uint16 or float32 (H, W), uint8 (H, W, 3), uint8 (H, W, 4)",
}
_GREY_DTYPES: dict[PictureFormat, tuple[str, ...]] = {
    "png": ("uint8", "uint16"),
    "webp": ("uint8",),
    "jpeg": ("uint8",),
    "avif": ("uint8",),
    "tiff": ("uint8", "uint16", "float32"),
}
_LONGEST_SIDE: dict[PictureFormat, int] = {"webp": 16383, "jpeg": 65500, "avif": 65536}
_DEFAULT_QUALITY: dict[PictureFormat, int] = {"jpeg": 92, "webp": 90, "avif": 80}


def encode_picture(
    pixels: NDArray[Any],
    *,
    format: PictureFormat,
    quality: int | None = None,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
) -> bytes:
    """The picture file's bytes.

    pixels: (H, W) grey, (H, W, 3) RGB, (H, W, 4) RGB with straight alpha; uint8, grey also uint16 (png, tiff)
    or float32 (tiff). quality: 1 to 100 for jpeg (default 92), webp (default 90; grey without loss) and avif
    (default 80); png and tiff lose nothing and take none.
    Raises InputError where the format cannot hold such pixels, such a size or such a quality.
    """
    _check(pixels, format, quality)
    if format == "png":
        return png_bytes(pixels, icc_profile=icc_profile, exif=exif)
    options: dict[str, Any] = {}
    if icc_profile:
        options["icc_profile"] = icc_profile
    if exif:
        options["exif"] = _main_fields(exif) if format == "tiff" else exif
    if format == "tiff":
        options["compression"] = "tiff_adobe_deflate"
    elif format == "webp" and pixels.ndim == 2 and quality is None:
        options.update(lossless=True, quality=20, method=0)
    else:
        options["quality"] = quality or _DEFAULT_QUALITY[format]
    if format == "avif":
        options["speed"] = 8
    if format == "webp" and pixels.ndim == 3:
        options.update(method=2)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format.upper(), **options)
    return buffer.getvalue()


def _main_fields(exif: bytes) -> Image.Exif:
    """The fields outside the EXIF directory: libtiff cannot write the pointer to that one."""
    fields = Image.Exif()
    fields.load(exif)
    if ExifTags.IFD.Exif in fields:
        del fields[ExifTags.IFD.Exif]
    return fields


def _check(pixels: NDArray[Any], format: PictureFormat, quality: int | None) -> None:
    if format not in PICTURE_FORMATS:
        raise _error("format", f"one of {', '.join(PICTURE_FORMATS)}", repr(format), "choose one of them")
    if format == "jpeg" and pixels.ndim == 3 and pixels.shape[2] == 4:
        raise _error(
            "format",
            "a format with transparency for a cut-out",
            "jpeg, which has none",
            "choose png, webp, avif or tiff, or a composite on a background",
        )
    is_grey = pixels.ndim == 2 and pixels.dtype.name in _GREY_DTYPES[format]
    is_colour = pixels.ndim == 3 and pixels.shape[2] in (3, 4) and pixels.dtype == np.uint8
    if not (is_grey or is_colour) or not pixels.size:
        raise _error(
            "pixels",
            f"{_KINDS[format]} for {format}",
            f"{pixels.dtype} {pixels.shape}",
            "convert them, or choose tiff or png",
        )
    longest = max(pixels.shape[:2])
    if longest > _LONGEST_SIDE.get(format, longest):
        raise _error(
            "pixels",
            f"sides of at most {_LONGEST_SIDE[format]} for {format}",
            f"{pixels.shape[1]} × {pixels.shape[0]}",
            "choose png or tiff",
        )
    if quality is not None and format not in _DEFAULT_QUALITY:
        raise _error(
            "quality",
            f"none, as {format} loses nothing",
            str(quality),
            "leave it out, or choose jpeg, webp or avif",
        )
    if quality is not None and not 1 <= quality <= 100:
        raise _error("quality", "1 to 100", str(quality), "choose a value in this range")


def _error(argument: str, expected: str, found: str, fix: str) -> InputError:
    return InputError(
        where=f"encoding a picture, argument '{argument}'", expected=expected, found=found, fix=fix
    )
