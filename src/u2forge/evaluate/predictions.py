"""A model's probability map → what each evaluation protocol compares with the ground truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from u2forge.evaluate.protocols import Protocol
from u2forge.pipeline.postprocess import postprocess, stretch
from u2forge.profiles import PreProfile


def predictions(
    probability: NDArray[np.float32],
    *,
    protocols: Sequence[Protocol],
    height: int,
    width: int,
    pre: PreProfile,
) -> dict[Protocol, NDArray[np.uint8] | NDArray[np.float32]]:
    """Of one (h, w) map in [0, 1], by protocol; (height, width) is the ground truth's size.

    paper, pysodmetrics: the 8-bit mask, stretched, as `infer` writes it. magicmind: float32 in [0, 255], the stretched
    map enlarged (bilinear), not rounded. Raises EngineError on NaN or inf.
    """
    mask = postprocess(probability, height=height, width=width, post="stretch", pre=pre)
    made: dict[Protocol, NDArray[np.uint8] | NDArray[np.float32]] = {}
    for protocol in protocols:
        made[protocol] = mask
        if protocol == "magicmind":
            made[protocol] = enlarged(stretch(probability) * np.float32(255), height=height, width=width)
    return made


def enlarged(values: NDArray[np.float32], *, height: int, width: int) -> NDArray[np.float32]:
    """(height, width) float32: a map resized (bilinear), its values as they are."""
    if values.shape == (height, width):
        return values
    return np.array(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))
