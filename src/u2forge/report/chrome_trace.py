"""Inferences with the times of their parts → a trace that Chrome's tracing page and Perfetto show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from u2forge.engine.protocol import Phases

# In the order of their happening, one after the other.
_PARTS = {
    "host to device": "host_to_device_ms",
    "enqueue": "enqueue_ms",
    "compute": "compute_ms",
    "device to host": "device_to_host_ms",
}


@dataclass(frozen=True)
class TracedInference:
    """One inference. start_ms: since the trace began; wall_ms: from the call to the answer."""

    start_ms: float
    wall_ms: float
    phases: Phases


def chrome_trace(inferences: Sequence[TracedInference], *, about: Mapping[str, object]) -> dict[str, Any]:
    """The trace as plain values, for JSON: each inference and, below it, the parts that its engine tells apart.

    about: what the page shows as metadata. Times are in microseconds.
    Source: the Trace Event Format, complete events (phase X).
    """
    names = [_event("M", "process_name", args={"name": "u2forge mm_run"})]
    return {
        "displayTimeUnit": "ms",
        "otherData": dict(about),
        "traceEvents": [
            *names,
            *(event for number, one in enumerate(inferences) for event in _events(number, one)),
        ],
    }


def _events(number: int, inference: TracedInference) -> Iterator[dict[str, Any]]:
    yield _complete(f"inference {number}", inference.start_ms, inference.wall_ms)
    start_ms = inference.start_ms
    for name, field in _PARTS.items():
        milliseconds: float | None = getattr(inference.phases, field)
        if milliseconds is None:
            continue
        yield _complete(name, start_ms, milliseconds)
        start_ms += milliseconds


def _complete(name: str, start_ms: float, milliseconds: float) -> dict[str, Any]:
    return _event("X", name, ts=start_ms * 1000, dur=milliseconds * 1000)


def _event(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"ph": kind, "name": name, "pid": 0, "tid": 0, **more}
