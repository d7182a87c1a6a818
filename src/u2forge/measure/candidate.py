"""Candidate: one model with one way to run it, which perf measures; and what a worker process says of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Scenario = Literal["latency", "throughput", "pipeline"]


@dataclass(frozen=True)
class Candidate:
    """model: what the user called it; path: its file. threads: None for one a usable processor; batch_size: pictures in
    an inference. inputs: pictures' paths, none for made-up ones. scenario: pipeline runs whole pictures, the others
    the network alone."""

    model: str
    path: str
    engine: str = "auto"
    device: str = "auto"
    batch_size: int = 1
    threads: int | None = None
    streams: int = 1
    inputs: tuple[str, ...] = ()
    scenario: Scenario = "latency"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the worker."""
        return {**asdict(self), "inputs": list(self.inputs)}


def candidate_from(values: dict[str, Any]) -> Candidate:
    """The candidate that as_dict gave these values."""
    return Candidate(**{**values, "inputs": tuple(values["inputs"])})
