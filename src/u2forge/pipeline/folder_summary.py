"""The reports of a whole folder, added up: counts, pictures a second, time by stage, what ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from u2forge.engine.protocol import EngineInfo


@dataclass(frozen=True)
class FolderSummary:
    """What became of a folder. wall_s: from the first picture fed to the last result written.

    stage_ms: totals over all pictures; stages overlap, so that their sum may exceed the wall time.
    """

    done: int
    failed: int
    skipped: int
    wall_s: float
    stage_ms: Mapping[str, float]
    engine: EngineInfo

    @property
    def total(self) -> int:
        """All pictures that were reported."""
        return self.done + self.failed + self.skipped

    @property
    def pictures_per_second(self) -> float:
        """Pictures done a second of wall time; 0 where none was done."""
        return self.done / self.wall_s if self.done and self.wall_s > 0 else 0.0

    def as_dict(self) -> dict[str, object]:
        """The summary as plain values, for JSON."""
        return {
            "done": self.done,
            "failed": self.failed,
            "skipped": self.skipped,
            "total": self.total,
            "wall_s": round(self.wall_s, 3),
            "pictures_per_second": round(self.pictures_per_second, 3),
            "stage_ms": {stage: round(value, 3) for stage, value in self.stage_ms.items()},
            "engine": self.engine.engine,
            "engine_version": self.engine.version,
            "device": self.engine.device,
            "device_name": self.engine.device_name,
            "precision_asked": self.engine.precision_asked,
            "precision_executed": self.engine.precision_executed,
            "threads": self.engine.threads,
            "streams": self.engine.streams,
        }

    def __str__(self) -> str:
        counts = ", ".join(
            f"{count} {status}"
            for status, count in (("done", self.done), ("failed", self.failed), ("skipped", self.skipped))
            if count or status == "done"
        )
        lines = [f"{counts} in {self.wall_s:.1f} s, {self.pictures_per_second:.2f} pictures/s"]
        if self.done:
            stages = ", ".join(f"{stage} {value / self.done:.1f}" for stage, value in self.stage_ms.items())
            lines.append(f"mean ms a picture: {stages}")
        ran = self.engine
        lines.append(
            f"{ran.engine} {ran.version} on {ran.device} ({ran.device_name}), {ran.precision_executed}, "
            f"threads {ran.threads}, streams {ran.streams}"
        )
        return "\n".join(lines)
