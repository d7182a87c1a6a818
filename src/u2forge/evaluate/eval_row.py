"""EvalRow: one model's figures on one data set by one protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from u2forge.evaluate.differences import Differences
from u2forge.evaluate.protocols import FIGURES, Protocol

# Labels and maps stay on 0 to 255 while thresholds run over 0 to 1: no figure of quality. Source: MagicMind's sample.
OFF_SCALE: tuple[Protocol, ...] = ("magicmind",)


@dataclass(frozen=True)
class EvalRow:
    """One row. metrics: by the names in FIGURES, None where the protocol has no such figure; precision: what the
    model was built for; executed: what ran; images_per_second: pictures by the seconds spent in the engine while
    other threads decoded and scored; differences: None for the first model."""

    dataset: str
    images: int
    model: str
    path: str
    digest: str
    precision: str
    executed: str
    engine: str
    engine_version: str
    device: str
    device_name: str
    threads: int
    protocol: Protocol
    metrics: Mapping[str, float | None]
    images_per_second: float
    differences: Differences | None

    @property
    def is_off_scale(self) -> bool:
        """Whether its figures are those of a protocol that is no measure of quality."""
        return self.protocol in OFF_SCALE

    def as_dict(self) -> dict[str, object]:
        """The row as plain values, for JSON."""
        return {
            "dataset": self.dataset,
            "images": self.images,
            "model": self.model,
            "precision": self.precision,
            "executed": self.executed,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "device": self.device,
            "device_name": self.device_name,
            "threads": self.threads,
            "model_path": self.path,
            "model_sha256": self.digest,
            "protocol": self.protocol,
            "off_scale": self.is_off_scale,
            **{name: self.metrics.get(name) for name in FIGURES},
            "images_per_second": round(self.images_per_second, 3),
            "differences": None if self.differences is None else self.differences.as_dict(),
        }


def finite_metrics(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """The figures by the names in FIGURES; None for one that is missing, NaN or infinite."""
    return {name: _finite(figures.get(name)) for name in FIGURES}


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
