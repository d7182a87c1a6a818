"""The native engine by itself: one thread and two, batches, AVX2 only, memory, start; OpenVINO's float32 beside it.

    python benchmarks/native.py --calibration ~/photos --docs

All candidates of the network alone are measured in one run, in turn, each a process of its own, as in peers.py. Memory
and start: processes of their own, one after the other, again and again, medians: opened with an empty cache, and then
with what the first one left there. OpenVINO is held to AVX2 by ONEDNN_MAX_CPU_ISA, which its own profiler is asked
about: the kernels that it names are in the record. Models are kept in --work. Without --calibration: the demo photos,
which suffice to time them.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from machine import commit
from measured_entry import Entry, attempt, chosen_photos, open_entry, our_command, ready_logs, row_of, tell
from native_document import AVX2_ONLY, NATIVE_MODES, OPENVINO, check_section, native_tables, write_section
from opened_process import WARM_UP, opened_in_process
from own_models import DEFAULT_WORK, own_models
from peer_contenders import OURS, Contender
from peer_models import ModelFolder, folder_name, make_model
from u2forge.engine.processor import usable_processors
from u2forge.measure.candidate import Candidate
from u2forge.measure.interleave import run_interleaved
from u2forge.measure.machine import machine_facts
from write_record import check_place, write_record

HERE = Path(__file__).resolve().parent
BATCH = 4
AVX2_MODES = ("force_float32", "qint16_mixed_float32")
# What oneDNN and, as far as it asks oneDNN, OpenVINO take for the processor's best.
OPENVINO_TO_AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}


def main() -> None:
    options = parse_options()
    check_place(options.json)
    if options.docs:
        check_section("native")
    models = {
        mode: path.resolve()
        for mode, path in zip(
            NATIVE_MODES, own_models(options.work, options.calibration, NATIVE_MODES), strict=True
        )
    }
    folder = ModelFolder(options.work, options.work, options.calibration)
    # Of one picture, which OpenVINO may run faster than an open batch; to the native engine they are the same.
    models[OPENVINO] = make_model("force_float32", folder).resolve()
    record: dict[str, Any] = {
        "benchmark": "native",
        "commit": commit(),
        "input": "1x3x320x320",
        "threads": options.threads,
        "seconds_each": options.seconds,
        "iterations_each": options.iterations,
        "repeat": options.repeat,
        "warm_up_inferences": WARM_UP,
        "calibration": "demo" if options.calibration is None else folder_name(options.calibration),
        "machine": machine_facts(("u2forge", "openvino", "numpy")),
        "openvino_to_avx2": OPENVINO_TO_AVX2,
        "interrupted": True,
    }
    entries = [Entry(one, our_command(one)) for one in contenders(options.threads)]
    try:
        measure(entries, models, options)
        record["openvino_kernels_avx2"] = opened_in_process(
            models[OPENVINO],
            engine="openvino",
            threads=options.threads,
            kernels=True,
            environment=OPENVINO_TO_AVX2,
        )["kernels_ms"]
        record["opened"] = measure_opening(models, options)
        record["interrupted"] = False
    finally:
        record["network"] = [row(entry) for entry in entries]
        if any("ms" in row for row in record["network"]):
            record["ratios"] = ratios(record["network"])
            write_record(options.json, record)
    print(native_tables(record))
    if options.docs:
        write_section("native", native_tables(record), record, options.json)


def parse_options() -> argparse.Namespace:
    today = datetime.now(timezone.utc).date().isoformat()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calibration", type=Path, help="a folder of photos for the quantized model")
    parser.add_argument("--photos", type=Path, help="a folder of photos to run on")
    parser.add_argument("--photo-count", type=int, default=8, help="take so many of them, evenly spread")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each candidate, at least")
    parser.add_argument("--iterations", type=int, default=10, help="of each candidate, at least")
    parser.add_argument("--repeat", type=int, default=5, help="how often memory and start are measured")
    parser.add_argument("--threads", type=int, default=usable_processors())
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="models are kept here")
    parser.add_argument(
        "--json", type=Path, default=HERE / "results" / f"{today}_native.json", help="the record's place"
    )
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/native.md too")
    return parser.parse_args()


def contenders(threads: int) -> list[Contender]:
    """The candidates of the network alone; the names are those of native_document."""
    found = []
    for mode in NATIVE_MODES:
        native = partial(Contender, worker=OURS, model=mode, engine="native")
        found += [
            native(mode, threads=threads),
            native(f"{mode}, one thread", threads=1),
            native(f"{mode}, batch {BATCH}", threads=threads, batch_size=BATCH),
        ]
        if mode in AVX2_MODES:
            found.append(native(f"{mode}{AVX2_ONLY}", threads=threads, device="avx2"))
    openvino = partial(Contender, worker=OURS, model=OPENVINO, engine="openvino", threads=threads)
    return [*found, openvino(OPENVINO), openvino(f"{OPENVINO}{AVX2_ONLY}", environment=OPENVINO_TO_AVX2)]


def measure(entries: Sequence[Entry], models: Mapping[str, Path], options: argparse.Namespace) -> None:
    """Opens all, then times them in turn."""
    photos = tuple(map(str, chosen_photos(options.photos, options.photo_count)))
    with ExitStack() as stack:
        for entry in entries:
            contender = entry.contender
            candidate = Candidate(
                model=contender.name,
                path=str(models[contender.model]),
                engine=contender.engine,
                device=contender.device,
                threads=contender.threads,
                batch_size=contender.batch_size,
                inputs=photos,
            )
            attempt(entry, partial(open_entry, request=candidate.as_dict(), stack=stack))
        run_interleaved(
            ready_logs(entries), iterations=options.iterations, seconds=options.seconds, after_turn=tell
        )


def row(entry: Entry) -> dict[str, Any]:
    contender = entry.contender
    own = {name: getattr(contender, name) for name in ("device", "threads", "batch_size")}
    return {**row_of(entry, "latency"), **own, "environment": dict(contender.environment)}


def ratios(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """By mode. two_threads: one thread's time by that of all; batch: a picture's time in a batch by that alone; avx2:
    by OpenVINO's time, both held to AVX2; best: by OpenVINO's float32, nothing held back."""
    ms = {row["candidate"]: row["ms"] for row in rows if "ms" in row}

    def by(over: str, under: str, factor: float = 1.0) -> dict[str, float]:
        pairs = {mode: (over.format(mode), under.format(mode)) for mode in NATIVE_MODES}
        return {
            mode: round(factor * ms[a] / ms[b], 4) for mode, (a, b) in pairs.items() if a in ms and b in ms
        }

    return {
        "two_threads": by("{}, one thread", "{}"),
        "batch": by(f"{{}}, batch {BATCH}", "{}", 1 / BATCH),
        "avx2": by(f"{{}}{AVX2_ONLY}", f"{OPENVINO}{AVX2_ONLY}"),
        "best": by("{}", OPENVINO),
    }


def measure_opening(models: Mapping[str, Path], options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each candidate and opening (first, second), medians of the turns: A first, A second, B first, …"""
    seen: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="u2forge-native-") as name:
        cache = Path(name) / "cache"
        for turn in range(options.repeat):
            for called, model in models.items():
                print(f"opening {called}, turn {turn + 1} of {options.repeat}", file=sys.stderr)
                shutil.rmtree(cache, ignore_errors=True)
                engine = "openvino" if called == OPENVINO else "native"
                for which in ("first", "second"):
                    found = opened_in_process(model, engine=engine, threads=options.threads, cache=cache)
                    seen.setdefault((called, which), []).append(found)
    return [
        {"candidate": called, "opening": which, "executed": found[0]["executed"], **_medians(found)}
        for (called, which), found in seen.items()
    ]


def _medians(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each figure's median, and all of `opened_ms`: u2forge's modules, the engine's, the file, and the engine."""
    steps = [one["steps_ms"] for one in found]
    opened = [sum(ms for name, ms in one.items() if name != "first_inference") for one in steps]
    return {
        "steps_ms": {name: round(statistics.median(one[name] for one in steps), 2) for name in steps[0]},
        "opened_ms": round(statistics.median(opened), 1),
        "opened_ms_each": [round(one, 1) for one in opened],
        **{
            name: round(statistics.median(one[name] for one in found), 1)
            for name in ("resident_mb", "from_files_mb", "peak_mb", "process_ms")
        },
    }


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # what there is has been told
        sys.exit(130)
