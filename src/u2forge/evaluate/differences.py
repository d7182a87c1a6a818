"""How far a model lies from the first model of its evaluation, over all pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# A picture whose masks (at 0.5) overlap less is counted as one where the models disagree: at 0.95 an edge has moved
# visibly, at a twentieth of the object.
IOU_FLOOR = 0.95


@dataclass(frozen=True)
class Differences:
    """mean_difference, worst_difference: of the pictures' mean |a - b| of the stretched maps, in [0, 1]; worst_iou: of
    the masks at 0.5; below_iou_floor: pictures of an IoU below IOU_FLOOR; metrics: this model's minus the first's."""

    mean_difference: float
    worst_difference: float
    worst_iou: float
    below_iou_floor: int
    metrics: Mapping[str, float | None]

    def as_dict(self) -> dict[str, object]:
        """The differences as plain values, for JSON."""
        return {
            "mean_difference": self.mean_difference,
            "worst_difference": self.worst_difference,
            "worst_iou": self.worst_iou,
            "below_iou_0_95": self.below_iou_floor,
            **self.metrics,
        }
