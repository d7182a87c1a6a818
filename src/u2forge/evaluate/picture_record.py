"""PictureRecord: one picture's evaluation by every model, as the journal keeps it and the sums take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from u2forge.evaluate.datasets import Pair, PairProblem
from u2forge.evaluate.parity import Parity
from u2forge.evaluate.protocols import PictureScores, Protocol


@dataclass(frozen=True)
class ModelScores:
    """One model's results of one picture. seconds: in the engine (the batch's, divided by its pictures);
    parity: to the first model, None for that one itself."""

    seconds: float
    scores: Mapping[Protocol, PictureScores]
    parity: Parity | None

    def as_dict(self) -> dict[str, object]:
        """The results as plain values, for JSON."""
        return {
            "seconds": self.seconds,
            "scores": {protocol: scores.as_dict() for protocol, scores in self.scores.items()},
            "parity": None if self.parity is None else [self.parity.mean_difference, self.parity.iou],
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> ModelScores:
        """The results from `as_dict`. Raises KeyError, TypeError or ValueError on anything else."""
        parity = values["parity"]
        return ModelScores(
            seconds=float(values["seconds"]),
            scores={name: PictureScores.from_dict(scores) for name, scores in values["scores"].items()},
            parity=None if parity is None else Parity(*map(float, parity)),
        )


@dataclass(frozen=True)
class PictureRecord:
    """What became of one picture: the models' scores, in their order, or the problem that left it out for all."""

    name: str
    width: int
    height: int
    models: tuple[ModelScores, ...]
    problem: PairProblem | None = None

    @staticmethod
    def left_out(pair: Pair, problem: PairProblem) -> PictureRecord:
        """The record of a picture that could not be evaluated."""
        return PictureRecord(pair.name, pair.width, pair.height, (), problem)

    def as_dict(self) -> dict[str, object]:
        """The record as plain values, for JSON."""
        return {
            "name": self.name,
            "size": [self.width, self.height],
            "models": [model.as_dict() for model in self.models],
            "problem": None if self.problem is None else self.problem.as_dict(),
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> PictureRecord:
        """The record from `as_dict`. Raises KeyError, TypeError or ValueError on anything else."""
        width, height = values["size"]
        problem = values["problem"]
        return PictureRecord(
            name=str(values["name"]),
            width=int(width),
            height=int(height),
            models=tuple(ModelScores.from_dict(model) for model in values["models"]),
            problem=None if problem is None else PairProblem(**problem),
        )
