"""One model's records added up: metrics by protocol, engine seconds, distance to the first model."""

from __future__ import annotations

from collections.abc import Sequence

from u2forge.evaluate.dataset_scores import DatasetScores
from u2forge.evaluate.differences import IOU_FLOOR
from u2forge.evaluate.picture_record import ModelScores
from u2forge.evaluate.protocols import Protocol


class ModelTotals:
    """Running sums; what they take in memory does not grow with the pictures."""

    def __init__(self, protocols: Sequence[Protocol]) -> None:
        self.scores = {protocol: DatasetScores(protocol) for protocol in protocols}
        self.images = 0
        self.seconds = 0.0
        self.worst_difference = 0.0
        self.worst_iou = 1.0
        self.below_iou_floor = 0
        self._difference_sum = 0.0

    def add(self, result: ModelScores) -> None:
        """Takes one picture's results in."""
        self.images += 1
        self.seconds += result.seconds
        for protocol, scores in result.scores.items():
            self.scores[protocol].add(scores)
        if result.parity is not None:
            self._difference_sum += result.parity.mean_difference
            self.worst_difference = max(self.worst_difference, result.parity.mean_difference)
            self.worst_iou = min(self.worst_iou, result.parity.iou)
            self.below_iou_floor += result.parity.iou < IOU_FLOOR

    @property
    def mean_difference(self) -> float:
        """The mean over the pictures of their maps' mean difference to the first model's."""
        return self._difference_sum / self.images if self.images else 0.0

    @property
    def images_per_second(self) -> float:
        """Pictures by the seconds spent in the engine."""
        return self.images / self.seconds if self.seconds > 0 else 0.0
