"""PerfRow and PerfResult: all that perf found of each candidate, and of the whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from u2forge.measure.candidate import Scenario
from u2forge.measure.layer_times import LayerTable
from u2forge.measure.spread import Spread

# Raised when the JSON changes in a way that an older `perf compare` would misread.
PERF_SCHEMA = 1
# The parts of an inference, in mm_run's order, and what they are called. The inputs are handed over first.
PHASES = {
    "enqueue": "Enqueue",
    "host_to_device": "Host to device",
    "compute": "Compute",
    "device_to_host": "Device to host",
}
# What opening takes, in order. import: the engine's package; model: the file read and its digest checked; engine: the
# graph compiled; contexts: memory for the streams; first_inference; warm_up.
OPENING_STEPS = ("import", "model", "engine", "contexts", "first_inference", "warm_up")
# What the machine was seen to do while the candidate had its turns, and its unit.
UTILIZATION = {
    "cpu_percent": "%",  # of one processor: two busy ones are 200
    "memory_mb": "MB",  # resident, of the candidate's process
    "gpu_percent": "%",
    "gpu_memory_mb": "MB",
    "gpu_power_w": "W",
    "gpu_temperature_c": "°C",
}
Status = Literal["complete", "partial", "failed"]


@dataclass(frozen=True)
class TensorInfo:
    """One input or output as it was run. shape: with the batch filled in; bytes: of one batch."""

    name: str
    dtype: str
    layout: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class PerfRow:
    """One candidate's figures. status: partial where the run was stopped before its end, failed where it has none.

    Times are in milliseconds, of one inference of a whole batch. latency: from the call to the answer; phases:
    its parts by PHASES, None where the engine cannot tell. throughput: pictures a second, of wall_s, the time
    of all its turns. per_hundred: means of every 100 inferences, `latency` and phases. turn_medians: the median
    latency of each turn; turn_times: its wall time by its pictures. opening_ms: by OPENING_STEPS. utilization:
    by UTILIZATION, None where the machine does not tell. layers: with --profile only. options: the command line
    that gives these settings again. searched: what a search tried before, each with `options`, `throughput`
    (None where it failed) and `reason`.
    """

    model: str
    path: str
    scenario: Scenario
    status: Status
    reason: str = ""
    name: str = ""
    model_sha256: str = ""
    size_bytes: int = 0
    precision: str = ""
    executed: str = ""
    engine: str = ""
    engine_version: str = ""
    device: str = ""
    device_name: str = ""
    batch_size: int = 1
    threads: int = 0
    streams: int = 1
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    opening_ms: Mapping[str, float] = field(default_factory=dict)
    iterations: int = 0
    wall_s: float = 0.0
    compute_s: float | None = None
    throughput: float = 0.0
    latency: Spread | None = None
    phases: Mapping[str, Spread | None] = field(default_factory=dict)
    per_hundred: Sequence[Mapping[str, float]] = ()
    turn_medians: Sequence[float] = ()
    turn_times: Sequence[float] = ()
    utilization: Mapping[str, Spread | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    layers: LayerTable | None = None
    options: str = ""
    searched: Sequence[Mapping[str, Any]] = ()

    @property
    def label(self) -> str:
        """The row's name in tables: model, precision, engine and batch."""
        streams = f", {self.streams} streams" if self.streams > 1 else ""
        kind = "" if self.scenario != "pipeline" else ", pipeline"
        return f"{self.name or self.model} {self.precision} on {self.engine}, batch {self.batch_size}{streams}{kind}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        plain = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("inputs", "outputs", "latency", "phases", "utilization", "layers")
        }
        return {
            **plain,
            "label": self.label,
            "inputs": [vars(one) for one in self.inputs],
            "outputs": [vars(one) for one in self.outputs],
            "latency": _plain(self.latency),
            "phases": {name: _plain(one) for name, one in self.phases.items()},
            "utilization": {name: _plain(one) for name, one in self.utilization.items()},
            "layers": None if self.layers is None else self.layers.as_dict(),
        }


@dataclass(frozen=True)
class PerfResult:
    """A whole run. parameters: iterations, duration_s, warmup_ms, percentiles; warnings: of the machine as a whole."""

    rows: tuple[PerfRow, ...]
    scenario: Scenario
    parameters: Mapping[str, Any]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    date: str
    warnings: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every candidate has all its figures."""
        return all(row.status == "complete" for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "u2forge_perf": PERF_SCHEMA,
            "date": self.date,
            "complete": self.complete,
            "scenario": self.scenario,
            "parameters": dict(self.parameters),
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "warnings": list(self.warnings),
            "rows": [row.as_dict() for row in self.rows],
        }


def _plain(spread: Spread | None) -> dict[str, object] | None:
    return None if spread is None else spread.as_dict()
