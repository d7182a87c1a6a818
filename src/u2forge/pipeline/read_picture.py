"""A picture file's path or bytes to a Picture: known by its first bytes, checked, decoded, turned upright."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile

from u2forge.errors import ImageError, U2ForgeError
from u2forge.pipeline.decoded_pixels import decoded_pixels
from u2forge.pipeline.deep_colour import is_deep_colour, rounded_colour
from u2forge.pipeline.heif import is_heif, open_heif
from u2forge.pipeline.kept_metadata import kept_exif, kept_icc_profile
from u2forge.pipeline.picture import Picture

# Pillow's own default limit (a quarter of a gibibyte of RGB), so that its own check never comes first.
DEFAULT_MAX_PIXELS = 89_478_485
# What is opened; the rest of Pillow's plugins (one of them starts Ghostscript) never see the file.
PICTURE_FORMATS_READ = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")

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


def read_picture(source: Path | bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """The picture in a file (or in its bytes), upright, 8-bit RGB; of several frames or pages the first.

    CMYK and Lab become sRGB, through the file's ICC profile where it has one; 16-bit values are divided by
    257 and rounded; an RGB profile is kept, not applied, as the network was trained on stored values.
    Raises ImageError: missing, not a file, unreadable, empty, not a picture, broken, or over max_pixels (by
    its header, before decoding); MissingDependencyError: HEIC without pillow-heif.
    """
    name = "the given bytes" if isinstance(source, bytes) else str(source)
    with _opened(source, name) as file:
        head = file.read(64)
        file.seek(0)
        if not head:
            raise _error(name, "a picture", "an empty file", "export or copy the picture again")
        try:
            image = open_heif(file, name) if is_heif(head) else _open(file, head)
            if image is None:
                raise _error(
                    name,
                    f"a picture ({', '.join(PICTURE_FORMATS_READ)} or HEIC)",
                    f"something else, beginning with {head[:8]!r}",
                    "leave this file out, or convert it to one of these",
                )
            with image:
                _check_size(image, max_pixels, name)
                pixels = _decode(image, file, head)
                return _picture(image, pixels, name)
        except U2ForgeError:
            raise
        except Exception as error:  # corrupted data makes Pillow's plugins raise nearly anything
            raise _error(
                name,
                "a whole picture",
                f"broken or truncated data ({_reason(error)})",
                "export or copy the picture again",
            ) from error


@contextmanager
def _opened(source: Path | bytes, name: str) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        mode = source.stat().st_mode
        if not stat.S_ISREG(mode):
            found = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise _error(name, "a picture file", found, "give the path of a picture")
        file = source.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _not_opened(name, error) from error
    with file:
        yield file


def _not_opened(name: str, error: OSError | ValueError) -> ImageError:
    if isinstance(error, ImageError):
        return error
    if isinstance(error, FileNotFoundError):
        return _error(name, "a picture file", "no such file", "check the path")
    if isinstance(error, PermissionError):
        return _error(name, "a file that may be read", "no permission", "allow reading it")
    return _error(name, "a file that can be read", _reason(error), "check the path and the disk")


def _open(file: IO[bytes], head: bytes) -> Image.Image | None:
    """The file as a Pillow image, its header read; None where no plugin knows it.

    Image.open would do the same, and then warn or raise by a limit that is global to the process.
    """
    Image.preinit()
    if any(name not in Image.OPEN for name in PICTURE_FORMATS_READ):
        Image.init()
    for name in PICTURE_FORMATS_READ:
        if name not in Image.OPEN:  # a Pillow built without that codec
            continue
        factory, accept = Image.OPEN[name]
        accepted = accept is None or accept(head)
        if accepted and not isinstance(accepted, str):
            file.seek(0)
            return factory(file, "")
    return None


def _check_size(image: Image.Image, max_pixels: int, name: str) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise _error(
            name,
            f"at most {max_pixels:,} pixels",
            f"{width} × {height} = {width * height:,} pixels",
            "make the picture smaller, or raise the limit (--max-pixels, max_pixels=)",
        )
    if width < 1 or height < 1:
        raise _error(name, "at least one pixel", f"{width} × {height}", "export the picture again")


def _decode(image: Image.Image, file: IO[bytes], head: bytes) -> Image.Image:
    """The image with its pixels decoded; a new one where 16-bit colours had to be rounded."""
    deep = is_deep_colour(image)
    image.load()
    if not deep:
        return image
    again = _open(file, head)
    assert isinstance(again, ImageFile.ImageFile)
    with again:
        return rounded_colour(image, again)


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


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _error(name: str, expected: str, found: str, fix: str) -> ImageError:
    return ImageError(where=f"reading {name}", expected=expected, found=found, fix=fix)
