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
from u2forge.verbs.perf_rows import Measured

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


def best_of(variants: Sequence[Candidate], *, warmup_ms: float, on_step: OnStep) -> Measured:
    """The variant with the most pictures a second, not open any more; the search's figures are among its warnings.

    Each is measured alone and briefly. Where none runs, the last one's failure.
    """
    if len(variants) == 1:
        return Measured(variants[0])
    found: list[tuple[float, Candidate]] = []
    failed: list[Measured] = []
    for candidate in variants:
        on_step(f"trying {label_of(candidate)}")
        measured = Measured(candidate)
        with ExitStack() as stack:
            open_worker(measured, stack, warmup_ms=warmup_ms)
            if measured.log is not None:
                run_interleaved(
                    [measured.log],
                    iterations=_SEARCH_ITERATIONS * candidate.streams,
                    seconds=_SEARCH_SECONDS,
                    rounds=1,
                )
                if measured.log.error is None:
                    speed = measured.log.iterations * candidate.batch_size / measured.log.wall_s
                    found.append((speed, candidate))
                    continue
                measured.error = measured.log.error
                measured.log = None
        failed.append(measured)
    if not found:
        return failed[-1]
    best = max(found, key=lambda one: one[0])[1]
    return Measured(best, searched=tuple(found))


def profiled(candidate: Candidate) -> LayerTable:
    """The candidate's layers by its engine's own profiler, in a process of its own. Raises EngineError."""
    request = {"profile": {"candidate": candidate.as_dict(), "inferences": _PROFILED_INFERENCES}}
    with WorkerProcess(label=f"profiling {label_of(candidate)}") as worker:
        return layer_table_from(worker.ask(request)["profiled"])
