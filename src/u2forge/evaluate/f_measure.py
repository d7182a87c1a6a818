"""Precision, recall and their weighted harmonic mean F, at every threshold or at the mask's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from u2forge.evaluate.level_counts import LevelCounts
from u2forge.evaluate.threshold_counts import ThresholdCounts

# Precision weighs more than recall. Source: Achanta et al., Frequency-tuned salient region detection, CVPR 2009.
BETA_SQUARED = 0.3


def precision_curve(counts: ThresholdCounts) -> NDArray[np.float64]:
    """(T,) the part of the selected that is right; 0 where nothing is selected."""
    return _quotient(counts.hits, counts.selected)


def recall_curve(counts: ThresholdCounts, *, of_empty_truth: float = 0.0) -> NDArray[np.float64]:
    """(T,) the part of the foreground that is selected."""
    if not counts.foreground:
        return np.full(counts.hits.shape, of_empty_truth)
    return counts.hits / counts.foreground


def f_curve(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) F = (1 + β²)·P·R / (β²·P + R), β² = 0.3; 0 where that is no number.

    Source: Achanta et al., CVPR 2009.
    """
    return _quotient((1 + BETA_SQUARED) * precision * recall, BETA_SQUARED * precision + recall)


def adaptive_f(levels: LevelCounts, values: NDArray[np.float64], *, mean: float) -> float:
    """F at the mask's own threshold: twice its mean value, at most 1; 0 where no selected pixel is right.

    values: (256,) float64, what each level stands for. A mask of zeros has the threshold 0, which selects all of it.
    Source: Achanta et al., CVPR 2009; ArcherFMY/sal_eval_toolbox, Fmeasure_calu.m.
    """
    is_selected = values >= min(2 * mean, 1.0)
    hits = int(levels.foreground[is_selected].sum())
    if not hits:
        return 0.0
    precision = hits / (hits + int(levels.background[is_selected].sum()))
    recall = hits / int(levels.foreground.sum())
    return (1 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall)


def _quotient(
    above: NDArray[np.int64] | NDArray[np.float64], below: NDArray[np.int64] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """The quotient of two arrays that are not negative; 0 where the divisor is 0 or NaN."""
    return np.divide(above, below, out=np.zeros(below.shape), where=below > 0)
