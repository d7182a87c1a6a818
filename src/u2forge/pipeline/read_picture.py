"""A picture file's path or bytes to a Picture: known by its first bytes, checked, decoded, turned upright."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageFile

from u2forge.pipeline.decoded_pixels import decoded_pixels
from u2forge.pipeline.deep_colour import is_deep_colour, rounded_colour
from u2forge.pipeline.kept_metadata import kept_exif, kept_icc_profile
from u2forge.pipeline.open_image import OpenedImage, opened_image, picture_error, whole
from u2forge.pipeline.picture import Picture

# Pillow's own default limit (a quarter of a gibibyte of RGB), so that its own check never comes first.
DEFAULT_MAX_PIXELS = 89_478_485

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)


def read_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels, as stored (not turned upright), by the header alone. Raises as read_picture."""
    with opened_image(path) as opened:
        return opened.image.size


def read_upright_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels as read_picture turns it, by the header alone; of a PNG, whose orientation may stand
    behind its pixels, as stored. Raises as read_picture."""
    with opened_image(path) as opened:
        width, height = opened.image.size
        exif = None if opened.image.format == "PNG" else _exif(opened.image)
    turned = exif is not None and exif.get(_ORIENTATION, 1) in _ON_ITS_SIDE
    return (height, width) if turned else (width, height)


def read_picture(source: str | Path | bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """The picture in a file (or in its bytes), upright, 8-bit RGB; of several frames or pages the first.

    CMYK and Lab become sRGB, through the file's ICC profile where it has one; 16-bit values are divided by
    257 and rounded; an RGB profile is kept, not applied, as the network was trained on stored values.
    Raises ImageError: missing, not a file, unreadable, empty, not a picture, broken, or over max_pixels (by
    its header, before decoding); MissingDependencyError: HEIC without pillow-heif.
    """
    with opened_image(source) as opened, whole(opened.name):
        _check_size(opened.image, max_pixels, opened.name)
        return _picture(opened.image, _decode(opened), opened.name)


def _check_size(image: Image.Image, max_pixels: int, name: str) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise picture_error(
            name,
            f"at most {max_pixels:,} pixels",
            f"{width} × {height} = {width * height:,} pixels",
            "make the picture smaller, or raise the limit (--max-pixels, max_pixels=)",
        )
    if width < 1 or height < 1:
        raise picture_error(name, "at least one pixel", f"{width} × {height}", "export the picture again")


def _decode(opened: OpenedImage) -> Image.Image:
    """The image with its pixels decoded; a new one where 16-bit colours had to be rounded."""
    deep = is_deep_colour(opened.image)
    opened.image.load()
    if not deep:
        return opened.image
    again = opened.again()
    assert isinstance(again, ImageFile.ImageFile)
    with again:
        return rounded_colour(opened.image, again)


def _picture(image: Image.Image, decoded: Image.Image, name: str) -> Picture:
    """The picture of the decoded pixels and of the file's own metadata, in `image`."""
    exif = _exif(image)
    turn = _UPRIGHT.get(exif.get(_ORIENTATION, 1)) if exif is not None else None
    pixels = decoded_pixels(decoded, turn=turn)
    alpha = pixels.alpha
    return Picture(
        rgb=pixels.rgb,
        alpha=None if alpha is None or alpha.min() == 255 else alpha,
        icc_profile=kept_icc_profile(image.info.get("icc_profile"), mode=image.mode),
        exif=kept_exif(exif) if exif is not None else None,
        source=name,
    )


def _exif(image: Image.Image) -> Image.Exif | None:
    """What the file's EXIF says; None where it is damaged, which is no reason to refuse the picture."""
    try:
        exif = image.getexif()
        exif.get(_ORIENTATION)
    except Exception:  # any damage
        return None
    return exif
