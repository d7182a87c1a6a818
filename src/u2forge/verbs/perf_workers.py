"""Candidates → workers that are open and warm; the search for the best of several; layers by a worker of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from u2forge.errors import U2ForgeError
from u2forge.measure.candidate import Candidate
from u2forge.measure.interleave import TurnLog, run_interleaved
from u2forge.measure.layer_profile import layer_table_from
from u2forge.measure.layer_times import LayerTable
from u2forge.measure.worker_process import WorkerProcess
from u2forge.verbs.perf_rows import Measured, Searched

OnStep = Callable[[str], None]
# Of each variant in a search: enough to tell 10 % apart, which is what streams and batches are worth.
_SEARCH_SECONDS = 2.0
_SEARCH_ITERATIONS = 3
_PROFILED_INFERENCES = 10


def label_of(candidate: Candidate) -> str:
    """What messages call a candidate."""
    return (
        f"{candidate.model} on {candidate.engine}, batch {candidate.batch_size}, {candidate.streams} streams"
    )


def open_worker(measured: Measured, stack: ExitStack, *, warmup_ms: float) -> None:
    """Starts the candidate's process, which opens and warms it up; a failure of its own is kept, not raised."""
    candidate = measured.candidate
    worker = stack.enter_context(WorkerProcess(label=label_of(candidate)))
    try:
        measured.opened = worker.ask({"open": candidate.as_dict()})["opened"]
        measured.warm_up_ms = worker.ask({"warm_up": warmup_ms})["warmed_up"]["wall_ms"]
    except U2ForgeError as error:
        measured.error = error
        worker.close()
        return
    measured.log = TurnLog(worker)


def find_best(
    measured: Measured, variants: Sequence[Candidate], *, warmup_ms: float, on_step: OnStep
) -> None:
    """Makes the variant with the most pictures a second the candidate; none is open any more.

    Each is measured alone and briefly, as all of them together may not fit the memory; what was found, and what
    failed, is in `searched` at once. Where none runs, the candidate has the last one's failure.
    """
    for candidate in variants:
        on_step(f"trying {label_of(candidate)}")
        trial = Measured(candidate)
        with ExitStack() as stack:
            open_worker(trial, stack, warmup_ms=warmup_ms)
            if trial.log is not None:
                run_interleaved(
                    [trial.log],
                    iterations=_SEARCH_ITERATIONS * candidate.streams,
                    seconds=_SEARCH_SECONDS,
                    rounds=1,
                )
                trial.error = trial.log.error
        speed = None
        if trial.log is not None and trial.error is None:
            speed = trial.log.iterations * candidate.batch_size / trial.log.wall_s
        measured.searched.append(Searched(candidate, speed, "" if trial.error is None else str(trial.error)))
        measured.candidate, measured.error = candidate, trial.error
    found = [one for one in measured.searched if one.speed is not None]
    if found:
        measured.candidate = max(found, key=lambda one: one.speed or 0.0).candidate
        measured.error = None


def profiled(candidate: Candidate) -> LayerTable:
    """The candidate's layers by its engine's own profiler, in a process of its own. Raises EngineError."""
    request = {"profile": {"candidate": candidate.as_dict(), "inferences": _PROFILED_INFERENCES}}
    with WorkerProcess(label=f"profiling {label_of(candidate)}") as worker:
        return layer_table_from(worker.ask(request)["profiled"])
