"""perf: models × engines × batches → how fast each is, in processes of their own, in turn, with spread and warnings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import psutil

from u2forge.errors import InputError, U2ForgeError, unknown_choice
from u2forge.measure.candidate import Candidate, Scenario
from u2forge.measure.interleave import TurnLog, run_interleaved
from u2forge.measure.machine import machine_facts
from u2forge.measure.nvidia_gpu import runs_on_nvidia
from u2forge.measure.perf_row import PerfResult
from u2forge.measure.stability import memory_warnings
from u2forge.measure.utilization import UtilizationSampler
from u2forge.precision import PRECISION_MODES, PrecisionMode
from u2forge.verbs.perf_candidates import Wanted, make_candidates
from u2forge.verbs.perf_results import check_places, write_results
from u2forge.verbs.perf_rows import Measured, make_row
from u2forge.verbs.perf_workers import OnStep, find_best, label_of, open_worker, profiled

SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
DEFAULT_PERCENTILES = (50.0, 90.0, 95.0, 99.0)
_VERSIONS = ("u2forge", "openvino", "onnxruntime", "torch", "numpy")


def perf(
    models: str | Path | Sequence[str | Path],
    *,
    engine: Sequence[str] = (),
    device: str = "auto",
    batch_size: Sequence[int] = (),
    precision: Sequence[PrecisionMode] = (),
    threads: Sequence[int] = (),
    streams: Sequence[int] = (),
    scenario: Scenario = "latency",
    iterations: int = 10,
    duration: float = 3.0,
    warmup: float = 200.0,
    percentiles: Sequence[float] = DEFAULT_PERCENTILES,
    input: str | Path | Sequence[str | Path] = (),
    profile: bool = False,
    json: str | Path | None = None,
    csv: str | Path | None = None,
    html: str | Path | None = None,
    progress: bool = False,
    on_step: OnStep | None = None,
    on_result: Callable[[PerfResult], None] | None = None,
) -> PerfResult:
    """How fast each model is, with each engine, batch size, precision, number of threads and of streams.

    models: files that `build` wrote, or cards' names. Each candidate is a process of its own; they take turns
    (A B C A B C …) until each has done `iterations` inferences and `duration` seconds, after `warmup`
    milliseconds. scenario: `latency`, the network, one inference after the other (in each stream);
    `throughput`, the best streams × batch, searched first; `pipeline`, from encoded pictures to encoded masks.
    input: pictures (at most 64, evenly spread); none: noise, and for the pipeline the demo photos. profile:
    layers by the engine's own profiler, in a further run. json, csv, html: files to write. A candidate that
    fails is a row that says why; where all fail, the first one's error is raised.

    on_result is told the result before it is written. Interrupted, `perf` tells and writes what it has, marked
    `partial`, before KeyboardInterrupt goes on.
    Raises InputError, ModelError, FetchError, EngineError, MissingDependencyError, OutputError.
    """
    wanted = Wanted(
        models=[models] if isinstance(models, str | Path) else list(models),
        engines=_listed(engine),
        device=device,
        batch_sizes=batch_size,
        precisions=precision,
        threads=threads,
        streams=streams,
        scenario=scenario,
        inputs=[input] if isinstance(input, str | Path) else list(input),
    )
    limits = _Limits(iterations=iterations, seconds=duration, warmup_ms=warmup, percentiles=percentiles)
    _check(wanted, profile=profile)
    check_places({"json": json, "csv": csv, "html": html}, models=wanted.models)
    say = on_step or (lambda step: None)
    run = _Run(limits, say)
    interruption = None
    try:
        run.measure(make_candidates(wanted, progress=progress), profile=profile)
    except KeyboardInterrupt as error:
        if not run.measured:
            raise
        interruption = error
    result = run.result(scenario)
    _raise_where_all_failed(run.measured, interruption)
    if on_result is not None:
        on_result(result)
    write_results(result, json=json, csv=csv, html=html)
    if interruption is not None:
        raise interruption
    return result


class _Limits:
    """How long and how often to measure, checked."""

    def __init__(
        self, *, iterations: int, seconds: float, warmup_ms: float, percentiles: Sequence[float]
    ) -> None:
        if iterations < 1:
            raise _wrong("iterations", "at least 1", str(iterations), "give 10, say")
        for name, value, unit in (("duration", seconds, "seconds"), ("warmup", warmup_ms, "milliseconds")):
            if not 0 <= value < math.inf:  # false for NaN
                raise _wrong(name, f"at least 0 {unit}", f"{value:g}", "give 0 or more")
        for percent in percentiles:
            if not 0 < percent < 100:
                raise _wrong(
                    "percentiles", "numbers above 0 and below 100", f"{percent:g}", "give 50,90,95,99, say"
                )
        self.iterations = iterations
        self.seconds = seconds
        self.warmup_ms = warmup_ms
        self.percentiles = tuple(sorted(set(percentiles)))


class _Run:
    """What is measured so far: all that a result needs, at any moment."""

    def __init__(self, limits: _Limits, say: OnStep) -> None:
        self.measured: list[Measured] = []
        self._limits = limits
        self._say = say
        self._sampler = UtilizationSampler()
        self._warnings: list[str] = []

    def measure(self, candidates: Sequence[Sequence[Candidate]], *, profile: bool) -> None:
        """Searches, opens, measures and profiles the candidates."""
        for variants in candidates:
            self.measured.append(Measured(variants[-1]))
            if len(variants) > 1:
                find_best(self.measured[-1], variants, warmup_ms=self._limits.warmup_ms, on_step=self._say)
        with ExitStack() as stack:
            for measured in self.measured:
                if measured.error is None:
                    self._say(f"opening {label_of(measured.candidate)}")
                    open_worker(measured, stack, warmup_ms=self._limits.warmup_ms)
            memory = psutil.virtual_memory()
            self._warnings += memory_warnings(memory.available, memory.total)
            self._take_turns()
        if profile:
            self._profile()

    def result(self, scenario: Scenario) -> PerfResult:
        """The rows so far, and what they were measured on."""
        machine = dict(machine_facts(_VERSIONS))
        # While measuring, the processors' clock is another than before, and they are warmer.
        machine |= {name: one.median for name, one in self._sampler.machine().items() if one is not None}
        rows = tuple(
            make_row(
                measured,
                iterations=self._limits.iterations,
                seconds=self._limits.seconds,
                percentiles=self._limits.percentiles,
                utilization=None
                if measured.log is None
                else self._sampler.utilization(measured.log.worker.pid),
                other_load=None
                if measured.log is None
                else self._sampler.other_load(measured.log.worker.pid),
            )
            for measured in self.measured
        )
        return PerfResult(
            rows=rows,
            scenario=scenario,
            parameters={
                "iterations": self._limits.iterations,
                "duration_s": self._limits.seconds,
                "warmup_ms": self._limits.warmup_ms,
                "percentiles": list(self._limits.percentiles),
            },
            date=str(machine.pop("date")),
            versions=machine.pop("versions"),  # type: ignore[arg-type]
            machine=machine,
            warnings=(*self._warnings, *self._sampler.warnings()),
        )

    def _take_turns(self) -> None:
        logs = [measured.log for measured in self.measured if measured.log is not None]
        on_gpu = {
            measured.log.worker.pid: str(measured.opened["device"])
            for measured in self.measured
            if measured.log is not None
            and runs_on_nvidia(
                str(measured.opened["device"]), device_name=str(measured.opened["device_name"])
            )
        }
        with self._sampler.watching([log.worker.pid for log in logs], gpu=on_gpu):
            run_interleaved(
                logs,
                iterations=self._limits.iterations,
                seconds=self._limits.seconds,
                before_turn=self._before_turn,
                after_turn=lambda log: self._sampler.turn_ends(),
            )

    def _before_turn(self, log: TurnLog) -> None:
        done = min(
            log.iterations / self._limits.iterations,
            log.wall_s / self._limits.seconds if self._limits.seconds else 1.0,
        )
        self._say(f"measuring {log.worker.label}: {done:.0%} done")
        self._sampler.turn_begins(log.worker.pid)

    def _profile(self) -> None:
        wanted = [one for one in self.measured if one.log is not None and one.log.error is None]
        for measured in wanted:
            measured.not_profiled = "interrupted"
        for measured in wanted:
            self._say(f"profiling {label_of(measured.candidate)}")
            try:
                measured.layers = profiled(measured.candidate)
                measured.not_profiled = ""
            except U2ForgeError as error:  # the times are there, and stay
                measured.not_profiled = str(error)


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _check(wanted: Wanted, *, profile: bool) -> None:
    if wanted.scenario not in SCENARIOS:
        raise unknown_choice(wanted.scenario, SCENARIOS, where="perf, option 'scenario'")
    for mode in wanted.precisions:
        if mode not in PRECISION_MODES:
            raise unknown_choice(mode, PRECISION_MODES, where="perf, option 'precision'")
    for name, counts in (
        ("batch_size", wanted.batch_sizes),
        ("threads", wanted.threads),
        ("streams", wanted.streams),
    ):
        for count in counts:
            if type(count) is not int or count < 1:
                raise _wrong(name, "whole numbers of at least 1", repr(count), "give 1 or more")
    if profile and wanted.scenario == "pipeline":
        raise _wrong(
            "profile", "the scenario latency or throughput with it", "pipeline", "profile the network alone"
        )


def _raise_where_all_failed(measured: Sequence[Measured], interruption: BaseException | None) -> None:
    """Without a single figure there is nothing to write: the reason is raised instead."""
    if any(
        (one.log is not None and one.log.iterations) or any(found.speed for found in one.searched)
        for one in measured
    ):
        return
    if interruption is not None:
        raise interruption
    raise next(error for one in measured if (error := one.failure) is not None)


def _wrong(option: str, expected: str, found: str, fix: str) -> InputError:
    return InputError(where=f"perf, option {option!r}", expected=expected, found=found, fix=fix)
