"""An 8-bit mask → what each of its 256 levels stands for in [0, 1], by protocol.

Work on the levels is exact and done once a level, not once a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from u2forge.evaluate.level_counts import LEVELS

_TOP = LEVELS - 1


@dataclass(frozen=True, eq=False)
class LevelScale:
    """The meaning of one mask's levels; that of levels the mask lacks is of no account.

    values: (256,) float64 in [0, 1]. steps: (256,) int64, the highest k in 0..255 whose threshold k / 255 is reached.
    """

    values: NDArray[np.float64]
    steps: NDArray[np.int64]


def divided_by_maximum(mask: NDArray[np.uint8]) -> LevelScale:
    """The mask divided by its maximum; a black one stays black. The steps are exact, in whole numbers.

    Source: xuebinqin/Binary-Segmentation-Evaluation-Tool, measures.py, mask_normalize (the evaluation code of BASNet
    and U²-Net), and ArcherFMY/sal_eval_toolbox, performCalcu.m, readSaliencyMap, which it follows.
    """
    levels = np.arange(LEVELS, dtype=np.int64)
    maximum = max(int(mask.max()), 1)
    return LevelScale(
        values=np.minimum(levels / maximum, 1.0), steps=np.minimum(levels * _TOP // maximum, _TOP)
    )


def stretched_by_range(mask: NDArray[np.uint8]) -> LevelScale:
    """The mask's own range stretched to [0, 1]; a mask of one level is divided by 255 only.

    The steps drop the fraction of float64 values × 255, which now and then lands one step low: the package does so
    too. Source: pysodmetrics 1.6.2, utils.py, prepare_data, and sod_metrics.py, Fmeasure.cal_pr.
    """
    values = np.arange(LEVELS) / _TOP
    low, high = values[mask.min()], values[mask.max()]
    if high != low:
        values = np.clip((values - low) / (high - low), 0.0, 1.0)
    return LevelScale(values=values, steps=(values * _TOP).astype(np.int64))
