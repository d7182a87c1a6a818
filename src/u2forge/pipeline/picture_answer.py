"""What an engine answers of pictures: each one's probability map, and its mask where the device made that too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.engine.protocol import EngineInfo
from u2forge.errors import EngineError


@dataclass(frozen=True, eq=False)
class PictureAnswer:
    """One picture's. probability: (h, w) float32, of the network's size; mask: (H, W) uint8, of the picture's, None
    where it is yet to be made."""

    probability: NDArray[np.float32]
    mask: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class Submission:
    """A batch that an engine has taken on. done: its end; answers: one a picture, in order, once it is at its end;
    raises what the engine raised, and EngineError where its answer is of another shape."""

    done: Future[Any]
    answers: Callable[[], list[PictureAnswer]]


def check_maps(
    shape: Sequence[int], *, dtype: str, count: int, size: tuple[int, int] | None, info: EngineInfo
) -> None:
    """Raises EngineError unless an output of that shape has `count` probability maps, of that size where one is
    given."""
    fits = len(shape) == 4 and shape[0] >= count and shape[1] == 1
    if fits and (size is None or tuple(shape[2:]) == size):
        return
    height, width = size or ("h", "w")
    raise EngineError(
        where=f"engine {info.engine!r}, output {info.outputs[0].name!r}",
        expected=f"float32 (at least {count}, 1, {height}, {width})",
        found=f"{dtype} {tuple(shape)}",
        fix="build the model again",
    )
