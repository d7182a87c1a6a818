"""One picture's mask and ground truth → its scores, by an evaluation protocol.

paper          As the U²-Net paper and its evaluation code: the mask divided by its maximum, truth where > 127, 256
               thresholds; F of the data set's mean precision and recall.
pysodmetrics   As the package pysodmetrics (1.6.2, its defaults): the mask stretched by its own range, truth where
               > 128; the mean of the pictures' F curves.
magicmind      As Cambricon's sample for MagicMind computes it: map and label stay on 0 to 255 while 100 thresholds run
               over 0 to 1 and the label is not made binary. Its figures are off scale on purpose (published: MAE
               8.7251, maximum F 4.2186) and say nothing of quality; they are there to be compared with the sample's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from u2forge.errors import InputError, unknown_choice
from u2forge.evaluate.e_measure import e_curve
from u2forge.evaluate.f_measure import adaptive_f, f_curve, precision_curve, recall_curve
from u2forge.evaluate.grey_counts import GREY_THRESHOLDS, grey_counts
from u2forge.evaluate.level_counts import LEVELS, level_counts
from u2forge.evaluate.level_scale import LevelScale, divided_by_maximum, stretched_by_range
from u2forge.evaluate.mae import grey_mean_absolute_error, mean_absolute_error
from u2forge.evaluate.relaxed_f import relaxed_f
from u2forge.evaluate.s_measure import s_measure
from u2forge.evaluate.threshold_counts import ThresholdCounts, threshold_counts
from u2forge.evaluate.weighted_f import weighted_f

Protocol = Literal["paper", "pysodmetrics", "magicmind"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
FIGURES = (
    "mae",
    "max_f",
    "mean_f",
    "adaptive_f",
    "weighted_f",
    "s_measure",
    "e_measure",
    "relaxed_f",
)

# How each protocol reads an 8-bit mask, and above which grey level the truth is foreground: the upper half of the
# range, or 128 as in pysodmetrics 1.6.2 (utils.py, prepare_data). The paper's measures.py has 128 too; the data sets'
# masks are 0 or 255 nearly everywhere.
_MASK_RULES: dict[Protocol, tuple[Callable[[NDArray[np.uint8]], LevelScale], int]] = {
    "paper": (divided_by_maximum, 127),
    "pysodmetrics": (stretched_by_range, 128),
}


@dataclass(frozen=True, eq=False)
class PictureScores:
    """One picture's figures, and the counts that a data set's curves are made of.

    max_f, mean_f: of the picture's own curve; e_measure: the mean over the thresholds (mean E). None where the protocol
    has no such figure: magicmind has mae and max_f only.
    """

    protocol: Protocol
    counts: ThresholdCounts
    mae: float
    max_f: float | None = None
    mean_f: float | None = None
    adaptive_f: float | None = None
    weighted_f: float | None = None
    s_measure: float | None = None
    e_measure: float | None = None
    relaxed_f: float | None = None

    def curves(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(T,) precision and (T,) recall, thresholds ascending; what divides by 0 is 0.

        Not so in magicmind: the recall of a label that is black everywhere is 0 / 0, NaN, as in the sample.
        """
        of_empty_truth = np.nan if self.protocol == "magicmind" else 0.0
        return precision_curve(self.counts), recall_curve(self.counts, of_empty_truth=of_empty_truth)

    def as_dict(self) -> dict[str, object]:
        """The scores as plain values, for JSON; nothing is lost."""
        figures = {name: getattr(self, name) for name in FIGURES}
        present = {name: value for name, value in figures.items() if value is not None}
        return {"protocol": self.protocol, **present, "counts": self.counts.as_dict()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> PictureScores:
        """The scores from `as_dict`. Raises KeyError, TypeError or ValueError on anything else."""
        others = {name: float(values[name]) for name in FIGURES if name in values and name != "mae"}
        protocol = known_protocol(values["protocol"])
        counts = ThresholdCounts.from_dict(values["counts"])
        if counts.selected.shape != thresholds_of(protocol).shape:
            raise ValueError(f"the thresholds of '{protocol}' expected; found {counts.selected.size} others")
        return PictureScores(
            protocol=protocol,
            counts=counts,
            mae=float(values["mae"]),
            **others,
        )


def score_picture(
    prediction: NDArray[np.uint8] | NDArray[np.float32], truth: NDArray[np.uint8], *, protocol: Protocol
) -> PictureScores:
    """The scores of one picture.

    prediction: (H, W) uint8, the mask as it is saved; for magicmind (H, W) float32 in 0..255, finite, the stretched map
    × 255, enlarged, not rounded. truth: (H, W) uint8, grey levels. Raises InputError on another shape or dtype, on NaN
    and on an unknown protocol; MissingDependencyError without SciPy (not for magicmind).
    """
    known_protocol(protocol)
    _check(prediction, truth, np.dtype(np.float32 if protocol == "magicmind" else np.uint8), protocol)
    if protocol == "magicmind":
        return _score_grey(prediction.astype(np.float32, copy=False), truth)
    return _score_mask(prediction.astype(np.uint8, copy=False), truth, protocol)


def known_protocol(name: object) -> Protocol:
    """The protocol of that name. Raises InputError."""
    for protocol in PROTOCOLS:
        if name == protocol:
            return protocol
    raise unknown_choice(name, PROTOCOLS, where="evaluation, argument 'protocol'")


def thresholds_of(protocol: Protocol) -> NDArray[np.float64]:
    """(T,) ascending: k / 255 for the 256 levels; magicmind's 100 on 0 to 1."""
    return GREY_THRESHOLDS if protocol == "magicmind" else np.arange(LEVELS) / (LEVELS - 1)


def _score_mask(mask: NDArray[np.uint8], truth: NDArray[np.uint8], protocol: Protocol) -> PictureScores:
    scale_of, darkest = _MASK_RULES[protocol]
    foreground, scale = truth > darkest, scale_of(mask)
    probability = np.take(scale.values, mask)
    levels = level_counts(mask, foreground)
    counts = threshold_counts(levels, scale)
    f = f_curve(precision_curve(counts), recall_curve(counts))
    return PictureScores(
        protocol=protocol,
        counts=counts,
        mae=mean_absolute_error(levels, scale.values),
        max_f=float(f.max()),
        mean_f=float(f.mean()),
        adaptive_f=adaptive_f(levels, scale.values, mean=float(probability.mean())),
        weighted_f=weighted_f(probability, foreground),
        s_measure=s_measure(probability, foreground),
        e_measure=float(e_curve(counts).mean()),
        relaxed_f=relaxed_f(probability > 0.5, foreground),
    )


def _score_grey(prediction: NDArray[np.float32], label: NDArray[np.uint8]) -> PictureScores:
    counts = grey_counts(prediction, label)
    f = f_curve(precision_curve(counts), recall_curve(counts))
    return PictureScores(
        protocol="magicmind",
        counts=counts,
        mae=grey_mean_absolute_error(prediction, label),
        max_f=float(f.max()),
    )


def _check(
    prediction: NDArray[Any], truth: NDArray[np.uint8], dtype: np.dtype[Any], protocol: Protocol
) -> None:
    for name, array, wanted in (("prediction", prediction, dtype), ("truth", truth, np.dtype(np.uint8))):
        if array.dtype != wanted or array.ndim != 2 or not array.size:
            raise InputError(
                where=f"score_picture, argument '{name}'",
                expected=f"{wanted} (H, W), at least 1×1, for protocol '{protocol}'",
                found=f"{array.dtype} {array.shape}",
                fix="pass one picture's mask and ground truth, without the axes of batch and channel",
            )
    if prediction.shape != truth.shape:
        raise InputError(
            where="score_picture, argument 'prediction'",
            expected=f"the ground truth's shape, {truth.shape}",
            found=f"{prediction.shape}",
            fix="resize the prediction to the ground truth, never the other way round",
        )
    if not np.isfinite(prediction).all():
        raise InputError(
            where="score_picture, argument 'prediction'",
            expected="finite numbers",
            found="NaN or infinite values",
            fix="try another precision or engine, and verify the model file",
        )
