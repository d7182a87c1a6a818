"""The mean absolute error of a mask: the mean over the pixels of |mask - truth|."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from u2forge.evaluate.level_counts import LevelCounts


def mean_absolute_error(levels: LevelCounts, values: NDArray[np.float64]) -> float:
    """The error in [0, 1], of a mask against a truth of foreground (1) and background (0).

    values: (256,) float64, what each level stands for. Source: Perazzi et al., Saliency Filters, CVPR 2012.
    """
    missed = levels.foreground @ (1.0 - values)
    invented = levels.background @ values
    return float(missed + invented) / int(levels.foreground.sum() + levels.background.sum())


def grey_mean_absolute_error(prediction: NDArray[np.float32], label: NDArray[np.uint8]) -> float:
    """The error on the scale of both, here 0 to 255, against a grey label as it is."""
    return float(np.abs(prediction.astype(np.float64) - label).mean())
