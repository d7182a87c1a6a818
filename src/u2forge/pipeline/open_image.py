"""A picture file's path or bytes to an image whose header is read: known by its first bytes, nothing decoded."""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image

from u2forge.errors import ImageError, U2ForgeError
from u2forge.pipeline.heif import is_heif, open_heif

# What is opened; the rest of Pillow's plugins (one of them starts Ghostscript) never see the file.
PICTURE_FORMATS_READ = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """A Pillow image on an open file. name: what to call it in messages."""

    image: Image.Image
    name: str
    _file: IO[bytes]
    _head: bytes

    def again(self) -> Image.Image | None:
        """Another image on the same file, not decoded."""
        return _open(self._file, self._head)


@contextmanager
def opened_image(source: str | Path | bytes) -> Iterator[OpenedImage]:
    """The opened picture. Raises ImageError: missing, not a file, unreadable, empty, not a picture, broken header;
    MissingDependencyError: HEIC without pillow-heif."""
    name = "the given bytes" if isinstance(source, bytes) else str(source)
    with _opened(source, name) as file:
        head = file.read(64)
        file.seek(0)
        if not head:
            raise picture_error(name, "a picture", "an empty file", "export or copy the picture again")
        with whole(name):
            image = open_heif(file, name) if is_heif(head) else _open(file, head)
        if image is None:
            raise picture_error(
                name,
                f"a picture ({', '.join(PICTURE_FORMATS_READ)} or HEIC)",
                f"something else, beginning with {head[:8]!r}",
                "leave this file out, or convert it to one of these",
            )
        with image:
            yield OpenedImage(image, name, file, head)


@contextmanager
def whole(name: str) -> Iterator[None]:
    """Turns whatever Pillow raises on corrupted data, which is nearly anything, into an ImageError."""
    try:
        yield
    except U2ForgeError:
        raise
    except Exception as error:
        raise picture_error(
            name,
            "a whole picture",
            f"broken or truncated data ({_reason(error)})",
            "export or copy the picture again",
        ) from error


def picture_error(name: str, expected: str, found: str, fix: str) -> ImageError:
    """The ImageError about the picture of that name."""
    return ImageError(where=f"reading {name}", expected=expected, found=found, fix=fix)


@contextmanager
def _opened(source: str | Path | bytes, name: str) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    path = Path(source)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            found = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise picture_error(name, "a picture file", found, "give the path of a picture")
        file = path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _not_opened(name, error) from error
    with file:
        yield file


def _not_opened(name: str, error: OSError | ValueError) -> ImageError:
    if isinstance(error, ImageError):
        return error
    if isinstance(error, FileNotFoundError):
        return picture_error(name, "a picture file", "no such file", "check the path")
    if isinstance(error, PermissionError):
        return picture_error(name, "a file that may be read", "no permission", "allow reading it")
    return picture_error(name, "a file that can be read", _reason(error), "check the path and the disk")


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


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
