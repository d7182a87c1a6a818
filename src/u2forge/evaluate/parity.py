"""How far one model's map of a picture lies from another's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Parity:
    """mean_difference: mean |a - b| of the two maps, in [0, 1]. iou: of the two masks at 0.5, in [0, 1]."""

    mean_difference: float
    iou: float


def parity(map_a: NDArray[np.float32], map_b: NDArray[np.float32]) -> Parity:
    """The parity of two maps of one shape, values in [0, 1]. Two empty masks agree fully (IoU 1).

    Raises ValueError where the shapes differ.
    """
    if map_a.shape != map_b.shape:
        raise ValueError(f"maps of one shape expected; found {map_a.shape} and {map_b.shape}")
    mask_a, mask_b = map_a > 0.5, map_b > 0.5
    union = int(np.count_nonzero(mask_a | mask_b))
    overlap = int(np.count_nonzero(mask_a & mask_b))
    difference = np.abs(map_a.astype(np.float64) - map_b)
    return Parity(mean_difference=float(difference.mean()), iou=overlap / union if union else 1.0)
