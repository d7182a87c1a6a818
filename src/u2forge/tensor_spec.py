"""TensorSpec: name, shape, dtype and layout of one input or output, and the one check against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.errors import InputError

# The layout of a tensor that is no batch of pictures; it has any number of axes.
ARRAY_LAYOUT = "ARRAY"
LAYOUTS = ("NCHW", "NHWC", ARRAY_LAYOUT)


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a model. shape: None where any size fits; dtype: a numpy name; layout: one of LAYOUTS."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    layout: str

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.dtype} ({sizes}) {self.layout}"

    @property
    def batch_size(self) -> int | None:
        """The fixed number of pictures in a batch, None where any number fits."""
        return self.shape[0] if self.shape else None

    @property
    def height(self) -> int | None:
        """Rows, in pixels, by the layout; None where any number fits, or there are no rows."""
        return self.shape[self.layout.index("H")] if "H" in self.layout else None

    @property
    def width(self) -> int | None:
        """Columns, in pixels, by the layout; None where any number fits, or there are no columns."""
        return self.shape[self.layout.index("W")] if "W" in self.layout else None

    def check(self, array: NDArray[Any], *, where: str) -> None:
        """Raises InputError unless the array has this dtype and shape."""
        fits = array.ndim == len(self.shape) and all(
            wanted is None or wanted == size for wanted, size in zip(self.shape, array.shape, strict=True)
        )
        if fits and array.dtype == np.dtype(self.dtype):
            return
        raise InputError(
            where=f"{where}, tensor {self.name!r}",
            expected=str(self),
            found=f"{array.dtype} {array.shape}",
            fix="preprocess pictures for this model, or build a model of the size and batch that you need",
        )
