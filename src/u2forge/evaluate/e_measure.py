"""The enhanced-alignment measure (E-measure): how a binary mask and the truth agree, pixel by pixel and as a whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from u2forge.evaluate.threshold_counts import ThresholdCounts

# Keeps 0 / 0 away; the value is the package's, so that figures agree. Source: pysodmetrics 1.6.2, utils.py, EPS.
_EPSILON = float(np.spacing(1))


def e_curve(counts: ThresholdCounts) -> NDArray[np.float64]:
    """(T,) the E-measure of the mask at each threshold. The figure that protocols give is the mean over them (mean E).

    At one threshold a pixel is one of four kinds (selected or not, foreground or not), so four alignments do for the
    whole picture. An empty truth counts what is not selected, a full one what is. The sum is divided by pixels - 1, as
    the authors do: a perfect mask has pixels / (pixels - 1), and a picture of one pixel is out of scale.
    Source: Fan et al., Enhanced-alignment Measure for Binary Foreground Map Evaluation, IJCAI 2018.
    """
    pixels, foreground = counts.pixels, counts.foreground
    unselected = pixels - counts.selected
    if foreground == 0:
        total = unselected.astype(np.float64)
    elif foreground == pixels:
        total = counts.selected.astype(np.float64)
    else:
        missed = foreground - counts.hits
        part, truth_part = counts.selected / pixels, foreground / pixels
        total = (
            counts.hits * _enhanced(1 - part, 1 - truth_part)
            + (counts.selected - counts.hits) * _enhanced(1 - part, -truth_part)
            + missed * _enhanced(-part, 1 - truth_part)
            + (unselected - missed) * _enhanced(-part, -truth_part)
        )
    return total / (pixels - 1 + _EPSILON)


def _enhanced(mask_bias: NDArray[np.float64], truth_bias: float) -> NDArray[np.float64]:
    """The alignment of two values, each less its map's mean, taken from [-1, 1] to [0, 1] by (1 + x)² / 4."""
    alignment = 2 * mask_bias * truth_bias / (mask_bias**2 + truth_bias**2 + _EPSILON)
    return (1 + alignment) ** 2 / 4
