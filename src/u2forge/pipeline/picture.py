"""Picture: one decoded photo, upright, as 8-bit RGB, with the metadata that still holds for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, turned upright.

    rgb: (H, W, 3) uint8, sRGB or the colours of icc_profile; alpha: (H, W) uint8, None where all is opaque.
    icc_profile: only where it describes rgb as it is; exif: what is left of the file's after `kept_exif`.
    source: the path, or what else to call it in messages.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    icc_profile: bytes | None
    exif: bytes | None
    source: str

    @property
    def height(self) -> int:
        """Rows, in pixels."""
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        """Columns, in pixels."""
        return int(self.rgb.shape[1])
