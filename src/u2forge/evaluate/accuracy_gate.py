"""The gate that a quantized model has to pass: how far its maps may lie from those of the float32 model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from u2forge.errors import InputError
from u2forge.evaluate.parity import parity

DEFAULT_MAX_LOSS = 0.002
DEFAULT_MIN_IOU = 0.95


@dataclass(frozen=True)
class MapLoss:
    """Maps against their references. differences: each picture's mean |a - b|; worst_iou, worst_name: the smallest IoU
    of a picture's masks, and the picture."""

    differences: tuple[float, ...]
    worst_iou: float
    worst_name: str

    @property
    def pictures(self) -> int:
        """How many there were."""
        return len(self.differences)

    @property
    def mean_difference(self) -> float:
        """Over all pictures."""
        return float(np.mean(self.differences))

    @property
    def worst_difference(self) -> float:
        """Of the worst picture."""
        return max(self.differences)


def map_loss(
    names: Sequence[str], maps: Sequence[NDArray[np.float32]], references: Sequence[NDArray[np.float32]]
) -> MapLoss:
    """The loss of stretched maps (h, w) in [0, 1], one a picture, of which there must be one."""
    found = [parity(reference, one) for reference, one in zip(references, maps, strict=True)]
    ious = [one.iou for one in found]
    return MapLoss(
        differences=tuple(one.mean_difference for one in found),
        worst_iou=min(ious),
        worst_name=names[int(np.argmin(ious))],
    )


@dataclass(frozen=True)
class AccuracyGate:
    """max_loss: of the mean difference; min_iou: of the worst picture's masks."""

    max_loss: float = DEFAULT_MAX_LOSS
    min_iou: float = DEFAULT_MIN_IOU

    def __post_init__(self) -> None:
        """Raises InputError where a limit is no share."""
        for name, value in (("max_loss", self.max_loss), ("min_iou", self.min_iou)):
            if not 0 <= value <= 1:
                raise InputError(
                    where=f"accuracy gate, option {name!r}",
                    expected="a number of 0 to 1",
                    found=repr(value),
                    fix="the defaults are 0.002 and 0.95",
                )

    def holds(self, loss: MapLoss) -> bool:
        """Whether the loss is within both limits."""
        return loss.mean_difference <= self.max_loss and loss.worst_iou >= self.min_iou

    def excess(self, loss: MapLoss) -> str:
        """By how much the loss is beyond the limits, in words; empty where it is not."""
        parts = []
        if loss.mean_difference > self.max_loss:
            parts.append(
                f"mean map difference {loss.mean_difference:.5f}, {_times(loss.mean_difference, self.max_loss)} "
                f"the limit of {self.max_loss:g}"
            )
        if loss.worst_iou < self.min_iou:
            parts.append(f"IoU {loss.worst_iou:.3f} on {loss.worst_name}, below {self.min_iou:g}")
        return "; ".join(parts)


def _times(value: float, limit: float) -> str:
    return f"{value / limit:.1f} times" if limit > 0 else "beyond"
