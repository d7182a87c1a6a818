"""The weighted F-measure: errors count by where they are and by what surrounds them."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from u2forge.errors import MissingDependencyError, install_command

# Source: Margolin et al., CVPR 2014: a Gaussian of σ = 5 for dependency (their code takes 7 × 7 of it), and
# background errors whose weight grows from 1 to 2, half of the rest every 5 pixels away from the object.
_RADIUS = 3
_SIGMA = 5.0
_HALF_DISTANCE = 5.0
# Keeps 0 / 0 away; the value is MATLAB's, in the authors' code, and the package's.
_EPSILON = float(np.spacing(1))


def weighted_f(probability: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The weighted F (β² = 1) in [0, 1] of an (H, W) map in [0, 1]; 0 where the truth is empty.

    Raises MissingDependencyError without SciPy. Source: Margolin, Zelnik-Manor and Tal, How to Evaluate Foreground
    Maps?, CVPR 2014.
    """
    ndimage = _ndimage()
    if not truth.any():
        return 0.0
    error = np.abs(probability - truth)
    distance, nearest = ndimage.distance_transform_edt(~truth, return_indices=True)
    inside = _eased(error, truth, nearest, ndimage)
    background = ~truth
    importance = 2.0 - np.exp(np.log(0.5) / _HALF_DISTANCE * distance[background])
    invented = float((error[background] * importance).sum())
    found = inside.size - float(inside.sum())
    recall = 1.0 - float(inside.mean())
    precision = found / (found + invented + _EPSILON)
    return 2 * recall * precision / (recall + precision + _EPSILON)


def _eased(
    error: NDArray[np.float64], truth: NDArray[np.bool_], nearest: NDArray[np.int32], ndimage: ModuleType
) -> NDArray[np.float64]:
    """(foreground,) each foreground pixel's error, or the Gaussian mean of those around it where that is less.

    Background counts there with the error of its nearest foreground pixel. Only what the window can reach from the
    object is worked on; outside the picture errors are 0.
    """
    window = (_reached(truth, axis=0), _reached(truth, axis=1))
    spread: NDArray[np.float64] = error[nearest[0][window], nearest[1][window]]
    kernel = np.exp(-(np.arange(-_RADIUS, _RADIUS + 1) ** 2) / (2 * _SIGMA**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        spread = ndimage.correlate1d(spread, kernel, axis=axis, mode="constant")
    is_foreground = truth[window]
    eased: NDArray[np.float64] = np.minimum(error[window][is_foreground], spread[is_foreground])
    return eased


def _reached(truth: NDArray[np.bool_], *, axis: int) -> slice:
    """Along an axis, from the first to the last foreground pixel, and the Gaussian's radius beyond."""
    indices = np.flatnonzero(truth.any(axis=1 - axis))
    return slice(max(0, int(indices[0]) - _RADIUS), int(indices[-1]) + _RADIUS + 1)


def _ndimage() -> ModuleType:
    try:
        from scipy import ndimage
    except ImportError as error:
        raise MissingDependencyError(
            where="the weighted F-measure",
            expected="the package scipy",
            found="it is not installed",
            fix=f"run {install_command('scipy', extra='eval')}",
        ) from error
    module: ModuleType = ndimage
    return module
