"""The official U²-Net in other engines and in ours, in turn: milliseconds, ratios, and whether they compute the same.

    python benchmarks/peers.py --calibration ~/photos --photos ~/other_photos --docs

Same weights, 1×3×320×320, same threads; each candidate a process of its own, all open at once, in turn
(A B C A B C …). Peers run with their own defaults, each in a virtual environment of its own (--peer-envs), installed
where it is not there. Beside the network alone: encoded pictures to encoded masks on disk, rembg against ours. Each
peer's maps are compared with our float32 ones first. A peer that cannot be installed or opened, or computes something
else, is a row that says why. Models are kept in --work, so that a second run starts at once. Without --photos and
--calibration: the demo photos, which is enough to time them. Interrupted, it records what it has, as `interrupted`, and
leaves the document alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from machine import commit
from marked_section import check_marks
from own_models import DEFAULT_WORK
from peer_contenders import NETWORK, OURS, PICTURES, Contender
from peer_difference import Maps, OtherNetworkError, differences, our_maps, our_masks
from peer_environments import REQUIREMENTS, NotInstalledError, environment_python
from peer_models import WORKERS, ModelFolder, NotMadeError, folder_name, make_model, network_inputs
from peers_document import DOCUMENT, SECTION, tables, write_document
from u2forge.engine.processor import usable_processors
from u2forge.errors import U2ForgeError
from u2forge.measure.candidate import Candidate, Scenario
from u2forge.measure.interleave import TurnLog, run_interleaved
from u2forge.measure.machine import machine_facts
from u2forge.measure.spread import spread_of
from u2forge.measure.stability import turn_drift
from u2forge.measure.worker_process import OUR_WORKER, WorkerProcess
from u2forge.pipeline.inputs import collect_inputs
from u2forge.profiles import PreProfile
from u2forge.verbs.calibration_data import evenly_spread
from u2forge.verbs.demo_photos import demo_photos
from write_record import check_place, write_record

HERE = Path(__file__).resolve().parent
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


class Group:
    """Contenders that are measured in turn, on the same photos; scenario: the network alone, or whole pictures."""

    def __init__(
        self,
        contenders: Sequence[Contender],
        scenario: Scenario,
        photos: Sequence[Path],
        options: argparse.Namespace,
    ) -> None:
        self._scenario = scenario
        self._photos = photos
        self._options = options
        self._folder = ModelFolder(options.work, options.peer_envs, options.calibration)
        self._entries = [Entry(one) for one in contenders if is_wanted(one, options.only)]
        self._base = contenders[0].name
        self._ours: dict[tuple[str, PreProfile], Maps] = {}

    def measure(self) -> None:
        """All are installed and converted first, then opened and compared, then timed in turn."""
        for entry in self._entries:
            attempt(entry, self._prepare)
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            inputs = network_inputs(self._photos, scratch / "inputs.npy")
            for entry in self._entries:
                attempt(entry, partial(self._open, stack=stack, inputs=inputs))
                attempt(entry, partial(self._compare, inputs=inputs))
            run_interleaved(
                [entry.log for entry in self._entries if entry.log is not None and not entry.reason],
                iterations=self._options.iterations,
                seconds=self._options.seconds,
                after_turn=tell,
            )

    def rows(self) -> list[dict[str, Any]]:
        """What is known of each so far. speed: the first contender's ms by the row's own."""
        rows = [row_of(entry, self._scenario) for entry in self._entries]
        base = next((row["ms"] for row in rows if row["candidate"] == self._base and "ms" in row), None)
        return [
            {**row, "speed": round(base / row["ms"], 3)} if base is not None and "ms" in row else row
            for row in rows
        ]

    def _prepare(self, entry: Entry) -> None:
        contender = entry.contender
        if contender.worker == OURS:
            entry.command = OUR_WORKER
        else:
            python = environment_python(contender.worker, folder=self._folder.environments)
            entry.command = (str(python), str(WORKERS / f"{contender.worker}_worker.py"))
        entry.path = make_model(contender.model, self._folder)

    def _open(self, entry: Entry, *, stack: ExitStack, inputs: Path) -> None:
        contender = entry.contender
        print(f"opening {contender.name} {dict(contender.options) or ''}", file=sys.stderr)
        ours = contender.worker == OURS
        # Ours prepares the photos itself, into the arrays that the peers' networks get.
        read = self._photos if ours or self._scenario == "pipeline" else [inputs]
        candidate = Candidate(
            model=contender.name,
            path=str(entry.path),
            engine="auto" if ours else contender.worker,
            threads=self._options.threads,
            inputs=tuple(str(path) for path in read),
            scenario=self._scenario,
        )
        request = candidate.as_dict() if ours else {**candidate.as_dict(), "options": dict(contender.options)}
        worker = stack.enter_context(WorkerProcess(entry.command, label=contender.name))
        entry.log = TurnLog(worker)
        entry.opened = worker.ask({"open": request})["opened"]
        worker.ask({"warm_up": WARM_UP_MS})

    def _compare(self, entry: Entry, *, inputs: Path) -> None:
        """Notes how far the entry's answers are from our float32 ones."""
        assert entry.log is not None
        ours = entry.contender.worker == OURS
        # rembg shrinks and enlarges otherwise than upstream does; our profile of its name does the same.
        pre: PreProfile = "rembg" if entry.contender.worker == "rembg" else "official"
        if ours:
            found = self._our_answers(entry.contender.model, pre, inputs)
        else:
            path = entry.log.worker.ask({"check": str(inputs.with_name("answers.npz"))})["checked"]
            with np.load(path) as answers:
                found = [answers[name] for name in answers.files]
        expected = self._our_answers("force_float32", pre, inputs)
        entry.difference = differences(expected, found, executed=entry.opened["executed"])

    def _our_answers(self, mode: str, pre: PreProfile, inputs: Path) -> Maps:
        if (mode, pre) not in self._ours:
            model, threads = make_model(mode, self._folder), self._options.threads
            self._ours[mode, pre] = (
                our_maps(model, inputs, threads=threads)
                if self._scenario == "latency"
                else our_masks(model, self._photos, pre=pre, threads=threads)
            )
        return self._ours[mode, pre]


def main() -> None:
    options = parse_options()
    check_place(options.json)
    if options.docs:
        check_marks(DOCUMENT, SECTION)
    # What PyTorch compiles lies with the other models.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(options.work / "inductor"))
    photos = chosen_photos(options.photos, options.photo_count)
    record: dict[str, Any] = {
        "benchmark": "peers",
        "commit": commit(),
        "input": "1x3x320x320",
        "threads": options.threads,
        "seconds_each": options.seconds,
        "iterations_each": options.iterations,
        "photos": "demo" if options.photos is None else folder_name(options.photos),
        "photo_count": len(photos),
        "calibration": "demo" if options.calibration is None else folder_name(options.calibration),
        "machine": machine_facts(("u2forge", "openvino", "numpy", "pillow")),
        "environments": REQUIREMENTS,
        "interrupted": True,
    }
    network = Group(NETWORK, "latency", photos, options)
    pictures = Group(PICTURES, "pipeline", photos, options)
    try:
        network.measure()
        pictures.measure()
        record["interrupted"] = False
    finally:
        record |= {"network": network.rows(), "pictures": pictures.rows()}
        if any("ms" in row for row in (*record["network"], *record["pictures"])):
            write_record(options.json, record)
    print(tables(record))
    if options.docs:
        write_document(record, options.json)


def parse_options() -> argparse.Namespace:
    today = datetime.now(timezone.utc).date().isoformat()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="a folder of photos to run and compare the maps on")
    parser.add_argument("--photo-count", type=int, default=8, help="take so many of them, evenly spread")
    parser.add_argument("--calibration", type=Path, help="a folder of photos for the quantized models")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each candidate, at least")
    parser.add_argument("--iterations", type=int, default=10, help="of each candidate, at least")
    parser.add_argument("--threads", type=int, default=usable_processors())
    parser.add_argument("--only", nargs="+", metavar="WORD", help="candidates whose name holds one of these")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="models are kept here")
    parser.add_argument("--peer-envs", type=Path, default=HERE, help="environments are .venv-NAME in here")
    parser.add_argument(
        "--json", type=Path, default=HERE / "results" / f"{today}_peers.json", help="the record's place"
    )
    parser.add_argument(
        "--docs", action="store_true", help=f"write the tables and the chart into docs/{DOCUMENT.name} too"
    )
    options = parser.parse_args()
    # Workers and converters run with these; ours and theirs need not share a folder.
    options.work, options.peer_envs = options.work.resolve(), options.peer_envs.resolve()
    for name in ("photos", "calibration"):
        folder = getattr(options, name)
        setattr(options, name, None if folder is None else folder.expanduser().resolve())
    return options


def chosen_photos(folder: Path | None, count: int) -> list[Path]:
    found = demo_photos() if folder is None else [item.path for item in collect_inputs([folder])]
    return [photo.resolve() for photo in evenly_spread(found, count)]


def is_wanted(contender: Contender, words: Sequence[str] | None) -> bool:
    return words is None or any(word in contender.name for word in words)


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


def tell(log: TurnLog) -> None:
    if log.error is None:
        print(f"{log.worker.label}: {np.median(log.turns[-1].samples['latency']):.1f} ms", file=sys.stderr)


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


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # what there is has been told
        sys.exit(130)
