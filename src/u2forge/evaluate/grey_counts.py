"""The counts of MagicMind's sample: a map on 0 to 255 at thresholds on 0 to 1, against a grey label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from u2forge.evaluate.threshold_counts import ThresholdCounts, counts_of_steps

# Source: the sample's evaluation; thresholds for maps in [0, 1], which the sample's are not.
GREY_THRESHOLDS = np.linspace(0, 1 - 1e-10, 100)


def grey_counts(prediction: NDArray[np.float32], label: NDArray[np.uint8]) -> ThresholdCounts:
    """The counts at the 100 thresholds; hits are sums of grey levels.

    prediction: (H, W) float32 in 0..255, compared as it is: nearly every pixel that is not 0 passes every threshold.
    """
    reached = np.full(prediction.shape, GREY_THRESHOLDS.size)
    is_low = prediction < 1
    reached[is_low] = np.searchsorted(GREY_THRESHOLDS, prediction[is_low].astype(np.float64), side="right")
    # Weights are float64, exact up to 2**53.
    selected = np.bincount(reached.ravel(), minlength=GREY_THRESHOLDS.size + 1)
    hits = np.bincount(reached.ravel(), weights=label.ravel(), minlength=GREY_THRESHOLDS.size + 1)
    return counts_of_steps(
        selected[1:].astype(np.int64),
        hits[1:].astype(np.int64),
        foreground=int(label.sum(dtype=np.int64)),
        below=int(selected[0]),
    )
