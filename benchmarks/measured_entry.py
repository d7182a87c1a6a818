"""A benchmark's candidate: prepared, opened in a process of its own, measured in turn; at the end its row."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from peer_contenders import Contender
from peer_difference import OtherNetworkError
from peer_environments import NotInstalledError
from peer_models import NotMadeError
from u2forge.errors import U2ForgeError
from u2forge.measure.candidate import Scenario
from u2forge.measure.interleave import TurnLog
from u2forge.measure.spread import spread_of
from u2forge.measure.stability import turn_drift
from u2forge.measure.worker_process import OUR_WORKER, WorkerProcess
from u2forge.pipeline.inputs import collect_inputs
from u2forge.verbs.calibration_data import evenly_spread
from u2forge.verbs.demo_photos import demo_photos

WARM_UP_MS = 1000.0


@dataclass
class Entry:
    """What is known of a contender so far. reason: why it has no figures."""

    contender: Contender
    command: Sequence[str] = ()
    path: Path = Path()
    opened: Mapping[str, Any] = field(default_factory=dict)
    difference: Mapping[str, float] = field(default_factory=dict)
    log: TurnLog | None = None
    reason: str = ""


def our_command(contender: Contender) -> tuple[str, ...]:
    """Our worker, in the contender's environment."""
    variables = [f"{name}={value}" for name, value in contender.environment.items()]
    return ("env", *variables, *OUR_WORKER) if variables else OUR_WORKER


def open_entry(entry: Entry, request: Mapping[str, Any], stack: ExitStack) -> None:
    """Opens the candidate of the request in a process, and warms it up. Raises U2ForgeError."""
    print(f"opening {entry.contender.name} {dict(entry.contender.options) or ''}", file=sys.stderr)
    worker = stack.enter_context(WorkerProcess(entry.command, label=entry.contender.name))
    entry.log = TurnLog(worker)
    entry.opened = worker.ask({"open": request})["opened"]
    worker.ask({"warm_up": WARM_UP_MS})


def attempt(entry: Entry, step: Callable[[Entry], None]) -> None:
    """Does the step where none failed before; its failure is the entry's reason."""
    if entry.reason:
        return
    try:
        step(entry)
    except (NotInstalledError, NotMadeError, OtherNetworkError, U2ForgeError) as error:
        entry.reason = " ".join(str(error).split())[:500]
        print(f"{entry.contender.name}: {entry.reason}", file=sys.stderr)
        if entry.log is not None:
            entry.log.worker.close()


def ready_logs(entries: Sequence[Entry]) -> list[TurnLog]:
    """Of those that are open and without a reason: what run_interleaved takes."""
    return [entry.log for entry in entries if entry.log is not None and not entry.reason]


def tell(log: TurnLog) -> None:
    if log.error is None:
        print(f"{log.worker.label}: {np.median(log.turns[-1].samples['latency']):.1f} ms", file=sys.stderr)


def chosen_photos(folder: Path | None, count: int) -> list[Path]:
    found = demo_photos() if folder is None else [item.path for item in collect_inputs([folder])]
    return [photo.resolve() for photo in evenly_spread(found, count)]


def is_wanted(contender: Contender, words: Sequence[str] | None) -> bool:
    return words is None or any(word in contender.name for word in words)


def row_of(entry: Entry, scenario: Scenario) -> dict[str, Any]:
    """ms: of the network alone the median of all inferences; of whole pictures the time of all turns by their
    number."""
    log = entry.log
    reason = entry.reason or (str(log.error) if log is not None and log.error is not None else "")
    if not reason and (log is None or not log.turns):
        reason = "interrupted before its first turn"
    row: dict[str, Any] = {
        "candidate": entry.contender.name,
        "options": dict(entry.contender.options),
        "status": "failed" if reason else "complete",
        **{key: entry.opened[key] for key in ("engine", "engine_version", "executed") if key in entry.opened},
        **{key: round(value, 6) for key, value in entry.difference.items()},
    }
    if reason or log is None:
        return {**row, "reason": reason}
    latency = spread_of(log.samples("latency"), (10, 90))
    each_turn_ms = [
        float(np.median(turn.samples["latency"]))
        if scenario == "latency"
        else 1000 * turn.wall_s / len(turn.samples["latency"])
        for turn in log.turns
    ]
    row |= {
        "ms": round(latency.median if scenario == "latency" else 1000 * log.wall_s / log.iterations, 2),
        "iterations": log.iterations,
        "turns_ms": [round(one, 2) for one in each_turn_ms],
        "processors_busy": round(sum(turn.cpu_s for turn in log.turns) / log.wall_s, 2),
        "opening_s": round(sum(entry.opened["opening_ms"].values()) / 1000, 2),
    }
    if scenario == "latency":
        row["p10_ms"], row["p90_ms"] = (round(latency.percentiles[percent], 2) for percent in (10, 90))
        row["variation"] = round(latency.variation, 4)
        drift = turn_drift(each_turn_ms)
        row["drift"] = None if drift is None else round(drift, 4)
    return row
