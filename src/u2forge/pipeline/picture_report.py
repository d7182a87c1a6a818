"""What became of one picture: where it went, how it ended, how long each stage took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

PictureStatus = Literal["done", "failed", "skipped"]
STAGES = ("decode", "preprocess", "inference", "postprocess", "compose", "encode")


@dataclass(frozen=True)
class PictureReport:
    """One picture's end. reason: why it failed or was skipped; width and height in pixels, None where never
    read.

    stage_ms: milliseconds by stage, of STAGES, wall time of the thread that did it; encode includes the
    writing, inference is the batch's time divided by its pictures, without the time spent waiting in the
    engine's queue. Where an engine's device does what goes before and after the network (DeviceEngine), inference has
    that too, with the copies to the device and back: preprocess and postprocess are then what is left to the host,
    a check of the pixels and of the map (and all of postprocess where the output is the map itself).
    """

    input: Path
    output: Path
    status: PictureStatus
    reason: str | None = None
    width: int | None = None
    height: int | None = None
    stage_ms: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """The report as plain values, for JSON; stages rounded to microseconds."""
        return {
            "input": str(self.input),
            "output": str(self.output),
            "status": self.status,
            "reason": self.reason,
            "width": self.width,
            "height": self.height,
            "stage_ms": {stage: round(value, 3) for stage, value in self.stage_ms.items()},
        }
