"""A picture file's path or bytes to a Picture."""

from __future__ import annotations

from pathlib import Path

from u2forge.pipeline.picture import Picture

DEFAULT_MAX_PIXELS = 178_956_970


def read_picture(source: Path | bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """The picture in a file or in its bytes. Raises ImageError, or MissingDependencyError for HEIC."""
    raise NotImplementedError
