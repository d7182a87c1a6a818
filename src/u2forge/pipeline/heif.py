"""HEIC and HEIF files, which need the package pillow-heif: known by their first bytes, opened."""

from __future__ import annotations

from typing import IO

from PIL import Image

from u2forge.errors import MissingDependencyError, install_command

_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}


def is_heif(head: bytes) -> bool:
    """Whether a file that begins so is HEIF, but not AVIF. Source: ISO/IEC 23008-12, brands."""
    if head[4:8] != b"ftyp":
        return False
    box = head[: int.from_bytes(head[:4], "big")]
    brands = {box[8:12]} | {box[start : start + 4] for start in range(16, len(box) - 3, 4)}
    return bool(brands & _BRANDS) and not brands & _AVIF_BRANDS


def open_heif(file: IO[bytes], name: str) -> Image.Image:
    """The file as a Pillow image, its header read; already upright. Raises MissingDependencyError."""
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError as error:
        raise MissingDependencyError(
            where=f"reading {name}",
            expected="the package pillow-heif, as this is a HEIC picture",
            found="it is not installed",
            fix=f"run {install_command('pillow-heif', extra='heif')}, or convert the picture to JPEG",
        ) from error
    image: Image.Image = HeifImageFile(file, "")  # type: ignore[no-untyped-call, unused-ignore]
    return image
