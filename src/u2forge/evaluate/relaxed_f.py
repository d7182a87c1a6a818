"""The relaxed boundary F-measure: how much of one mask's outline lies within some pixels of the other's."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from u2forge.evaluate.f_measure import BETA_SQUARED

# How far apart two boundary pixels may lie and still meet. Source: Qin et al., U²-Net, 2020 (ρ = 3).
SLACK_PIXELS = 3


def relaxed_f(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """F (β² = 0.3) in [0, 1] of the boundaries of two (H, W) masks.

    Precision is the part of the mask's boundary within 3 pixels (Euclidean) of the truth's, recall the part of the
    truth's within 3 of the mask's. 0 where either mask is empty: there is no boundary to meet.
    Source: Qin et al., U²-Net: Going Deeper with Nested U-Structure, Pattern Recognition 106, 2020, and BASNet,
    CVPR 2019. The authors' code of it is not published (xuebinqin/Binary-Segmentation-Evaluation-Tool, issue 4): that
    the erosion is by a cross, that outside the picture is background and that distance is Euclidean is our reading.
    """
    found, wanted = boundary(mask), boundary(truth)
    if not found.any() or not wanted.any():
        return 0.0
    precision = np.count_nonzero(found & _near(wanted)) / np.count_nonzero(found)
    recall = np.count_nonzero(wanted & _near(found)) / np.count_nonzero(wanted)
    if not precision or not recall:
        return 0.0
    return float((1 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall))


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) the mask XOR its erosion by a 3 × 3 cross; outside the picture is background."""
    padded = np.pad(mask, 1)
    above, below = padded[:-2, 1:-1], padded[2:, 1:-1]
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    return mask & ~(above & below & left & right)


def _near(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) what lies within SLACK_PIXELS of the mask: a disk at each of its pixels, drawn as runs, row by row."""
    radius = SLACK_PIXELS
    height, width = mask.shape
    padded = np.pad(mask, radius)
    near = np.zeros_like(mask)
    for down in range(-radius, radius + 1):
        rows = padded[radius + down : radius + down + height]
        half = math.isqrt(radius**2 - down**2)
        for right in range(-half, half + 1):
            near |= rows[:, radius + right : radius + right + width]
    return near
