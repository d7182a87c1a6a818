"""Which of a resize's two passes the installed Pillow makes first: it rounds to 8 bits between them, so it shows."""

from __future__ import annotations

import PIL


def rows_before_columns(size_in: tuple[int, int], size_out: tuple[int, int]) -> bool:
    """Whether the number of rows is changed before that of the columns. Sizes: (rows, columns).
    Source: Pillow 12.2 Image.resize, Pillow 13.0 Resample.c, ImagingResampleInner; none before resizes rows first."""
    version = tuple(int(part) for part in PIL.__version__.split(".")[:2])
    (height_in, width_in), (height_out, width_out) = size_in, size_out
    fewer_rows, fewer_columns = height_in - height_out, width_in - width_out
    if version >= (13, 0):
        return fewer_rows > max(0, 2 * fewer_columns)
    return version >= (12, 2) and fewer_rows > 0 and height_in > 100 * width_in
