"""A picture file's path to its size, by the header alone."""

from __future__ import annotations

from pathlib import Path

from u2forge.errors import ImageError, U2ForgeError
from u2forge.pipeline.heif import is_heif, open_heif
from u2forge.pipeline.read_picture import _open, _opened


def read_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels, as stored (not turned upright). Raises ImageError,
    MissingDependencyError."""
    name = str(path)
    with _opened(path, name) as file:
        head = file.read(64)
        file.seek(0)
        try:
            image = open_heif(file, name) if is_heif(head) else _open(file, head)
            if image is not None:
                return image.size
            found = f"something else, beginning with {head[:8]!r}"
        except U2ForgeError:
            raise
        except Exception as error:  # corrupted data makes Pillow's plugins raise nearly anything
            found = f"broken data ({error})"
    raise ImageError(
        where=f"reading {name}",
        expected="a picture's header",
        found=found,
        fix="export or copy the picture again",
    )
