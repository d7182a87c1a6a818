"""The scores of many pictures → a data set's figures and curves, as its protocol averages them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from u2forge.errors import InputError
from u2forge.evaluate.f_measure import f_curve
from u2forge.evaluate.protocols import FIGURES, PictureScores, Protocol, known_protocol, thresholds_of

# The figures that come from a curve of the data set; the others are means over the pictures.
_OF_CURVE = ("max_f", "mean_f")


@dataclass(frozen=True, eq=False)
class Curves:
    """A data set's curves: four float64 arrays of one length, thresholds ascending. In [0, 1], but for magicmind, whose
    precision and F are off scale. NaN throughout (but for the thresholds) where there are no pictures."""

    thresholds: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f: NDArray[np.float64]


class DatasetScores:
    """Running sums; what they take in memory does not grow with the pictures.

    paper, magicmind: F of the mean precision and the mean recall. pysodmetrics: the mean of the pictures' F. The
    maximum and the mean over the thresholds come last. In magicmind one label that is black everywhere makes the mean
    recall NaN, so every F and the maximum F 0, as the sample's own arithmetic does; leave such pictures out.
    """

    def __init__(self, protocol: Protocol) -> None:
        self.protocol: Protocol = known_protocol(protocol)
        self.images = 0
        self._thresholds = thresholds_of(protocol)
        self._sums: dict[str, float] = {}
        self._precision, self._recall, self._f = np.zeros((3, self._thresholds.size))

    def add(self, scores: PictureScores) -> None:
        """Takes one picture in. Raises InputError where it was scored by another protocol."""
        if scores.protocol != self.protocol:
            raise InputError(
                where="DatasetScores.add, argument 'scores'",
                expected=f"scores by protocol '{self.protocol}'",
                found=f"scores by protocol '{scores.protocol}'",
                fix="keep one DatasetScores for each protocol",
            )
        precision, recall = scores.curves()
        self.images += 1
        self._precision += precision
        self._recall += recall
        self._f += f_curve(precision, recall)
        for name in FIGURES:
            value = getattr(scores, name)
            if value is not None:
                self._sums[name] = self._sums.get(name, 0.0) + value

    def figures(self) -> dict[str, float | None]:
        """The figures by the names in FIGURES; None where the protocol has no such figure, or there are no pictures."""
        figures: dict[str, float | None] = dict.fromkeys(FIGURES)
        figures.update((name, total / self.images) for name, total in self._sums.items())
        f = self.curves().f
        of_curve = {"max_f": float(f.max()), "mean_f": float(f.mean())}
        figures.update((name, of_curve[name]) for name in _OF_CURVE if name in self._sums)
        return figures

    def curves(self) -> Curves:
        """The curves, for plots of precision against recall and of F against the threshold."""
        if not self.images:
            nothing = np.full(self._thresholds.shape, np.nan)
            return Curves(self._thresholds, nothing, nothing, nothing)
        precision, recall = self._precision / self.images, self._recall / self.images
        averages_f = self.protocol == "pysodmetrics"
        f = self._f / self.images if averages_f else f_curve(precision, recall)
        return Curves(self._thresholds, precision, recall, f)
