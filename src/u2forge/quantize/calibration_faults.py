"""What is wrong with calibration data, told from what the network makes of it: hints that lead to the cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from u2forge.quantize.affine import Affine
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.tensor_statistics import TensorStatistics

# What one picture reaches and another does not stays within these factors for most ranges, and within the second
# for every one: concatenation makes quiet tensors share the range of loud ones.
_TOO_WIDE, _FAR_TOO_WIDE = 8.0, 64.0
_TOO_NARROW, _FAR_TOO_NARROW = 0.25, 1 / 64
_MANY = 0.25
# Fewer pictures say little of their colours.
_PICTURES_FOR_COLOURS = 8
# One-sided, 1 in 160 by chance for pictures without any preference.
_SIGNIFICANT = 2.5


def range_faults(affines: Mapping[str, Affine], seen: Mapping[str, TensorStatistics]) -> list[str]:
    """Ranges that are far wider or narrower than what `seen` (other pictures, same graph) reaches; the worst first."""
    wide, narrow = [], []
    for name, affine in affines.items():
        found = seen.get(name)
        if found is None:
            continue
        reach = max(float(found.high.max()), -float(found.low.min()))
        covered = max(affine.high, -affine.low)
        if reach > 0 and covered / reach > _TOO_WIDE:
            wide.append((covered / reach, name, covered, reach))
        elif reach > 0 and covered / reach < _TOO_NARROW:
            narrow.append((covered / reach, name, covered, reach))
    faults = []
    many = _MANY * len(affines)
    if wide and (len(wide) > many or max(wide)[0] > _FAR_TOO_WIDE):
        ratio, name, covered, reach = max(wide)
        faults.append(
            f"{len(wide)} of {len(affines)} ranges are too wide: {name!r} is given ±{covered:.4g} where the check "
            f"pictures reach {reach:.4g}, {ratio:.0f} times less"
        )
    if narrow and (len(narrow) > many or min(narrow)[0] < _FAR_TOO_NARROW):
        ratio, name, covered, reach = min(narrow)
        faults.append(
            f"{len(narrow)} of {len(affines)} ranges are too narrow: {name!r} is given {covered:.4g} where the check "
            f"pictures reach {reach:.4g}; the calibration data is not like them"
        )
    return faults


def plain_picture_fault(spreads: Sequence[int]) -> str | None:
    """Calibration pictures of one colour. spreads: largest minus smallest grey level of each picture."""
    plain = sum(spread == 0 for spread in spreads)
    if 2 * plain <= len(spreads):
        return None
    return f"{plain} of {len(spreads)} calibration pictures are of one colour (black, say): they exercise nothing"


def channel_order_fault(
    red_minus_blue: NDArray[np.float64],
    uncertainty: NDArray[np.float64],
    uncertainty_swapped: NDArray[np.float64],
) -> str | None:
    """Pictures whose red and blue are swapped (BGR taken for RGB).

    red_minus_blue: each picture's mean, in grey levels; uncertainty: mean 4 p (1 - p) of the network's map of each
    picture, as it is and with red and blue exchanged. Photos are redder than blue on average (DUTS-TR: 31 levels, 9 of
    10 photos), and the network is more certain of those it was trained for: both must speak against the order.
    """
    count = len(red_minus_blue)
    if count < _PICTURES_FOR_COLOURS:
        return None
    spread = float(red_minus_blue.std(ddof=1)) / np.sqrt(count)
    bluer = float(-red_minus_blue.mean()) > _SIGNIFICANT * spread
    if not bluer or float(uncertainty_swapped.mean()) >= float(uncertainty.mean()):
        return None
    return (
        f"red and blue look swapped (BGR instead of RGB): over {count} pictures blue is {-red_minus_blue.mean():.0f} "
        "grey levels above red, photos are the other way; and the network is more certain of them with both exchanged"
    )


def option_faults(options: QuantizeOptions) -> list[str]:
    """Choices that are known to cost accuracy, with the better one."""
    faults = []
    if options.algorithm in ("entropy", "percentile") and options.bits == 8:
        faults.append(f"algorithm {options.algorithm} clips what this network needs; linear or eqnm keep it")
    if options.weight_granularity == "per_tensor":
        faults.append("one scale for all of a layer's weights is coarser than per_channel")
    if not options.bias_correction:
        faults.append("bias correction is off")
    return faults
