"""What a worker said of itself, its turns and the machine's state → the candidate's row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from u2forge.errors import U2ForgeError
from u2forge.measure.candidate import Candidate
from u2forge.measure.interleave import TurnLog
from u2forge.measure.layer_times import LayerTable
from u2forge.measure.perf_row import PHASES, UTILIZATION, PerfRow, Status, TensorInfo
from u2forge.measure.spread import Spread, spread_of
from u2forge.measure.stability import load_warnings, percentile_warnings, turn_warnings
from u2forge.pipeline.picture_report import STAGES
from u2forge.verbs.perf_candidates import described_options

_HUNDRED = 100


@dataclass(frozen=True)
class Searched:
    """What a search tried. speed: pictures a second, None where it failed; reason: why."""

    candidate: Candidate
    speed: float | None
    reason: str


@dataclass
class Measured:
    """One candidate on its way to a row. opened: its worker's answer to `open`; error: what ended it; searched: what a
    search tried; not_profiled: why there are no layers."""

    candidate: Candidate
    opened: Mapping[str, Any] = field(default_factory=dict)
    log: TurnLog | None = None
    warm_up_ms: float | None = None
    layers: LayerTable | None = None
    error: U2ForgeError | None = None
    searched: list[Searched] = field(default_factory=list)
    not_profiled: str = ""

    @property
    def failure(self) -> U2ForgeError | None:
        """What ended it, on opening or in a turn."""
        return self.error or (None if self.log is None else self.log.error)


def make_row(
    measured: Measured,
    *,
    iterations: int,
    seconds: float,
    percentiles: Sequence[float],
    utilization: Mapping[str, Spread | None] | None,
    other_load: float | None,
) -> PerfRow:
    """The row; failed without a sample, partial where it has not all that was asked for."""
    candidate, opened, log = measured.candidate, measured.opened, measured.log
    error = measured.failure
    facts: dict[str, Any] = {name: value for name, value in opened.items() if name in _PLAIN_FACTS}
    common: dict[str, Any] = {
        "model": candidate.model,
        "path": candidate.path,
        "scenario": candidate.scenario,
        "engine": candidate.engine,
        "device": candidate.device,
        "batch_size": candidate.batch_size,
        "streams": candidate.streams,
        "options": described_options(candidate),
        "searched": [
            {"options": described_options(one.candidate), "throughput": one.speed, "reason": one.reason}
            for one in measured.searched
        ],
        **facts,
        "inputs": _tensors(opened.get("inputs", ())),
        "outputs": _tensors(opened.get("outputs", ())),
        "opening_ms": _opening(measured),
    }
    if log is None or not log.iterations:
        reason = str(error) if error is not None else "interrupted before its first turn"
        return PerfRow(**common, status="failed", reason=reason)
    latencies = log.samples("latency")
    latency = spread_of(latencies, percentiles)
    names = STAGES if candidate.scenario == "pipeline" else tuple(PHASES)
    samples = {name: log.samples(name) for name in names}
    turn_medians = [median(turn.samples["latency"]) for turn in log.turns]
    pictures_each = 1 if candidate.scenario == "pipeline" else common["batch_size"]
    return PerfRow(
        **common,
        status=_status(log, iterations=iterations, seconds=seconds),
        reason="" if error is None else str(error),
        iterations=log.iterations,
        wall_s=log.wall_s,
        compute_s=sum(samples["compute"]) / 1000 if samples.get("compute") else None,
        throughput=log.iterations * pictures_each / log.wall_s,
        latency=latency,
        phases={name: spread_of(values, percentiles) if values else None for name, values in samples.items()},
        per_hundred=_per_hundred({"latency": latencies, **samples}),
        turn_medians=turn_medians,
        turn_times=[
            turn.wall_s * 1000 / (len(turn.samples["latency"]) * pictures_each) for turn in log.turns
        ],
        utilization=utilization or dict.fromkeys(UTILIZATION),
        warnings=(
            *_streams_warning(candidate, opened),
            *([f"not profiled: {measured.not_profiled}"] if measured.not_profiled else []),
            *turn_warnings(latency, turn_medians),
            *percentile_warnings(latency.count, percentiles),
            *load_warnings(other_load),
        ),
        layers=measured.layers,
    )


_PLAIN_FACTS = (
    "name model_sha256 size_bytes precision executed engine engine_version device device_name batch_size threads "
    "streams"
).split()


def _status(log: TurnLog, *, iterations: int, seconds: float) -> Status:
    return "complete" if log.iterations >= iterations and log.wall_s >= seconds else "partial"


def _tensors(values: Sequence[Mapping[str, Any]]) -> tuple[TensorInfo, ...]:
    return tuple(TensorInfo(**{**value, "shape": tuple(value["shape"])}) for value in values)


def _opening(measured: Measured) -> dict[str, float]:
    opening = dict(measured.opened.get("opening_ms", {}))
    if measured.warm_up_ms is not None:
        opening["warm_up"] = measured.warm_up_ms
    return opening


def _per_hundred(samples: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """Means of every 100 inferences; the last ones may be fewer."""
    told = {name: values for name, values in samples.items() if values}
    count = len(told["latency"])
    return [
        {name: fmean(values[start : start + _HUNDRED]) for name, values in told.items()}
        for start in range(0, count, _HUNDRED)
    ]


def _streams_warning(candidate: Candidate, opened: Mapping[str, Any]) -> list[str]:
    if opened.get("streams") in (None, candidate.streams):
        return []
    return [
        f"{candidate.streams} streams asked for, {opened['streams']} run: no more than threads on a processor"
    ]
