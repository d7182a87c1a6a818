"""The official U²-Net in other engines and in ours, in turn: milliseconds, ratios, and whether they compute the same.

    python benchmarks/peers.py --calibration ~/photos --photos ~/other_photos --docs

Same weights, 1×3×320×320, same threads; each candidate a process of its own, all open at once, in turn
(A B C A B C …). Peers run with their own defaults, each in a virtual environment of its own (--peer-envs), installed
where it is not there. Beside the network alone: encoded pictures to encoded masks on disk, rembg against ours. All maps
are compared with those of our float32 on OpenVINO first. A peer that cannot be installed or opened, or computes
something else, is a row that says why. Models are kept in --work, so that a second run starts at once. Without --photos
and --calibration: the demo photos, which is enough to time them. Interrupted, it records what it has, as `interrupted`,
and leaves the document alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from machine import commit
from marked_section import check_marks
from measured_entry import (
    Entry,
    attempt,
    chosen_photos,
    is_wanted,
    open_entry,
    our_command,
    ready_logs,
    row_of,
    tell,
)
from own_models import DEFAULT_WORK
from peer_contenders import NETWORK, OURS, PICTURES, Contender
from peer_difference import Maps, differences, our_maps, our_masks
from peer_environments import REQUIREMENTS, environment_python
from peer_models import WORKERS, ModelFolder, folder_name, make_model, network_inputs
from peers_document import DOCUMENT, SECTION, tables, write_document
from u2forge.engine.processor import usable_processors
from u2forge.measure.candidate import Candidate, Scenario
from u2forge.measure.interleave import run_interleaved
from u2forge.measure.machine import machine_facts
from u2forge.profiles import PreProfile
from write_record import check_place, write_record

HERE = Path(__file__).resolve().parent
# What every answer is compared with: our float32 on another engine than the fastest of ours.
REFERENCE = ("force_float32", "openvino")


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
        self._ours: dict[tuple[str, str, PreProfile], Maps] = {}

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
                ready_logs(self._entries),
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
            entry.command = our_command(contender)
        else:
            python = environment_python(contender.worker, folder=self._folder.environments)
            entry.command = (str(python), str(WORKERS / f"{contender.worker}_worker.py"))
        entry.path = make_model(contender.model, self._folder)

    def _open(self, entry: Entry, *, stack: ExitStack, inputs: Path) -> None:
        contender = entry.contender
        ours = contender.worker == OURS
        # Ours prepares the photos itself, into the arrays that the peers' networks get.
        read = self._photos if ours or self._scenario == "pipeline" else [inputs]
        candidate = Candidate(
            model=contender.name,
            path=str(entry.path),
            engine=contender.engine if ours else contender.worker,
            threads=self._options.threads,
            inputs=tuple(str(path) for path in read),
            scenario=self._scenario,
        )
        request = candidate.as_dict() if ours else {**candidate.as_dict(), "options": dict(contender.options)}
        open_entry(entry, request, stack)

    def _compare(self, entry: Entry, *, inputs: Path) -> None:
        """Notes how far the entry's answers are from our float32 ones on OpenVINO."""
        assert entry.log is not None
        ours = entry.contender.worker == OURS
        # rembg shrinks and enlarges otherwise than upstream does; our profile of its name does the same.
        pre: PreProfile = "rembg" if entry.contender.worker == "rembg" else "official"
        if ours:
            found = self._our_answers(entry.contender.model, entry.contender.engine, pre, inputs)
        else:
            path = entry.log.worker.ask({"check": str(inputs.with_name("answers.npz"))})["checked"]
            with np.load(path) as answers:
                found = [answers[name] for name in answers.files]
        expected = self._our_answers(*REFERENCE, pre, inputs)
        entry.difference = differences(expected, found, executed=entry.opened["executed"])

    def _our_answers(self, mode: str, engine: str, pre: PreProfile, inputs: Path) -> Maps:
        if (mode, engine, pre) not in self._ours:
            model, threads = make_model(mode, self._folder), self._options.threads
            self._ours[mode, engine, pre] = (
                our_maps(model, inputs, engine=engine, threads=threads)
                if self._scenario == "latency"
                else our_masks(model, self._photos, engine=engine, pre=pre, threads=threads)
            )
        return self._ours[mode, engine, pre]


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


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # what there is has been told
        sys.exit(130)
