"""Every precision mode and the peers' quantizers on a data set with ground truth: accuracy, map difference, speed.

    python benchmarks/precision_table.py --dataset ECSSD --calibration DUTS-TR/images --work /tmp/work \\
        --json benchmarks/results/mine.json

DATASET: a folder that `u2forge eval` knows; CALIBRATION: photos, none of them in the data set. All candidates
get the same network inputs, and the peers the same calibration pictures as ours (96, evenly spread). Peers run
with their own defaults, in an environment of their own (--peer-env). The maps of each candidate are kept in
--work, so that a run that was stopped goes on. Accuracy: protocol `paper`, and the stretched maps against those
of float32. Speed: one picture at a time, candidates in turn in one process, medians. Candidates on ONNX Runtime
are slow: --every says which pictures they do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import u2forge
from machine import commit
from u2forge.engine.processor import usable_processors
from u2forge.evaluate.dataset_scores import DatasetScores
from u2forge.evaluate.datasets import find_dataset
from u2forge.evaluate.grey_mask import grey_of
from u2forge.evaluate.parity import parity
from u2forge.evaluate.protocols import score_picture
from u2forge.measure.machine import machine_facts
from u2forge.pipeline.inputs import collect_inputs
from u2forge.pipeline.postprocess import postprocess, stretch
from u2forge.pipeline.preprocess import preprocess
from u2forge.pipeline.read_picture import read_picture
from u2forge.verbs.calibration_data import evenly_spread

PEERS = ("nncf", "openvino", "onnxruntime", "onnx")
HERE = Path(__file__).resolve().parent
SIZE = 320
CALIBRATION_COUNT = 96
REFERENCE = "u2forge force_float32"
RUNTIME = "onnxruntime float32"
Run = Callable[[Any], Any]


@dataclass
class Candidate:
    """open: what runs one network input (1, 3, H, W) and gives its map, and what it runs in; slow: on part of the
    pictures only."""

    name: str
    engine: str
    open: Callable[[], tuple[Run, str]]
    slow: bool = False
    executed: str = ""
    size_mb: float = 0.0
    times_ms: list[float] = field(default_factory=list)


def main() -> None:
    options = parse_options()
    options.work.mkdir(parents=True, exist_ok=True)
    pairs = find_dataset(options.dataset).pairs
    inputs = prepared_inputs([pair.photo for pair in pairs], options.work / "inputs.npy")
    candidates = [
        one
        for one in make_candidates(options)
        if not options.only or f"{one.name} on {one.engine}" in options.only
    ]
    for candidate in candidates:
        compute_maps(candidate, inputs, options)
    if options.only:
        return
    rows = accuracy_rows(candidates, pairs, options)
    measure_speed(candidates, inputs, options.rounds)
    record = make_record(options, candidates, rows, len(pairs))
    print(table(record))
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="maps and models are kept here")
    parser.add_argument("--peer-env", type=Path, default=HERE / ".venv-peers")
    parser.add_argument("--every", type=int, default=4, help="candidates on ONNX Runtime: every N-th picture")
    parser.add_argument("--rounds", type=int, default=15, help="timed inferences of each candidate")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="'NAME on ENGINE'",
        help="compute these maps only, no table",
    )
    parser.add_argument("--json", type=Path, help="write the record here")
    return parser.parse_args()


def prepared_inputs(photos: Sequence[Path], cache: Path) -> Any:
    """float32 (N, 3, 320, 320), on disk."""
    if not cache.exists():
        temporary = cache.with_suffix(".part.npy")
        open_memmap: Any = np.lib.format.open_memmap  # has no types
        array = open_memmap(temporary, mode="w+", dtype=np.float32, shape=(len(photos), 3, SIZE, SIZE))
        for index, photo in enumerate(photos):
            array[index] = preprocess(read_picture(photo).rgb, height=SIZE, width=SIZE, profile="official")
        array.flush()
        temporary.replace(cache)
    return np.load(cache, mmap_mode="r")


def make_candidates(options: argparse.Namespace) -> list[Candidate]:
    work: Path = options.work
    ours = {mode: work / f"{mode}.onnx" for mode in OUR_MODES}
    peers = work / "peers"

    def model(mode: str) -> Path:
        if not ours[mode].exists():
            quantized = {} if mode.startswith("force") else {"calibration": options.calibration}
            u2forge.build("u2net", out=ours[mode], precision=mode, progress=True, **quantized)  # type: ignore[arg-type]
        return ours[mode]

    def peer(name: str) -> Path:
        make_peers(options, model("force_float32"), peers)
        return peers / name

    found = [
        Candidate(f"u2forge {mode}", "openvino", partial(open_ours, model, mode, "openvino"))
        for mode in OUR_MODES
        # OpenVINO takes 16-bit rounding out, and so computes force_float32 again.
        if not mode.startswith("qint16")
    ]
    found += [
        Candidate("NNCF, OpenVINO graph", "openvino", partial(open_openvino, peer, "nncf_openvino.xml")),
        Candidate("NNCF, ONNX graph", "openvino", partial(open_openvino, peer, "nncf_onnx.onnx")),
        Candidate("ONNX Runtime static", "openvino", partial(open_openvino, peer, "onnxruntime_static.onnx")),
        Candidate(
            RUNTIME, "onnxruntime", partial(open_runtime, lambda _: model("force_float32"), ""), slow=True
        ),
        Candidate(
            "u2forge qint16_mixed_float32",
            "onnxruntime",
            partial(open_ours, model, "qint16_mixed_float32", "onnxruntime"),
        ),
        Candidate(
            "u2forge qint8_mixed_float32",
            "onnxruntime",
            partial(open_ours, model, "qint8_mixed_float32", "onnxruntime"),
            slow=True,
        ),
        Candidate(
            "NNCF, ONNX graph", "onnxruntime", partial(open_runtime, peer, "nncf_onnx.onnx"), slow=True
        ),
        # ONNX Runtime 1.32 refuses to load what its own quantizer made of this graph (sizes of Resize).
    ]
    return found


OUR_MODES = (
    "force_float32",
    "force_float16",
    "qint8_mixed_float32",
    "qint8_mixed_float16",
    "qint16_mixed_float32",
)


def open_ours(model: Callable[[str], Path], mode: str, engine: str) -> tuple[Run, str]:
    segmenter = u2forge.open_segmenter(model(mode), engine=engine)
    (spec,) = segmenter.engine.info.inputs

    def run(batch: Any) -> Any:
        return segmenter.engine.run({spec.name: batch})["d0"][0, 0]

    return run, segmenter.engine.info.precision_executed


def open_openvino(path_of: Callable[[str], Path], name: str) -> tuple[Run, str]:
    """A foreign model, compiled as our engine compiles ours."""
    import openvino

    compiled = openvino.Core().compile_model(
        str(path_of(name)),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": usable_processors(),
            "ENABLE_CPU_PINNING": False,
        },
    )
    request = compiled.create_infer_request()
    return lambda batch: np.array(request.infer({0: batch}, share_inputs=True)[0][0, 0]), "int8"


def open_runtime(path_of: Callable[[str], Path], name: str) -> tuple[Run, str]:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = usable_processors()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path_of(name)), settings, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0].name
    return lambda batch: session.run(None, {feed: batch})[0][0, 0], "int8" if name else "float32"


def make_peers(options: argparse.Namespace, model: Path, out: Path) -> None:
    wanted = ("nncf_openvino.xml", "nncf_onnx.onnx", "onnxruntime_static.onnx")
    if all((out / name).exists() for name in wanted):
        return
    programs = options.peer_env / "bin"
    if not (programs / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(options.peer_env)], check=True)
        subprocess.run([str(programs / "pip"), "install", "--quiet", *PEERS], check=True)
    photos = [item.path for item in collect_inputs([options.calibration])]
    chosen = evenly_spread(photos, CALIBRATION_COUNT)
    cache = options.work / "calibration.npy"
    prepared_inputs(chosen, cache)
    subprocess.run(
        [str(programs / "python"), str(HERE / "peer_quantizers.py"), str(model), str(cache), str(out)],
        check=True,
    )


def maps_path(candidate: Candidate, work: Path) -> Path:
    name = "".join(letter if letter.isalnum() else "_" for letter in f"{candidate.name}-{candidate.engine}")
    return work / f"maps-{name}.npy"


def pictures_of(candidate: Candidate, count: int, every: int) -> range:
    return range(0, count, every if candidate.slow else 1)


def compute_maps(candidate: Candidate, inputs: Any, options: argparse.Namespace) -> None:
    """The candidate's maps, un-stretched, float32; a file that is there is gone on with."""
    path = maps_path(candidate, options.work)
    open_memmap: Any = np.lib.format.open_memmap  # has no types
    if not path.exists():
        new = open_memmap(path, mode="w+", dtype=np.float32, shape=(len(inputs), SIZE, SIZE))
        new[:] = np.nan
        new.flush()
    maps = open_memmap(path, mode="r+")
    to_do = [i for i in pictures_of(candidate, len(inputs), options.every) if np.isnan(maps[i, 0, 0])]
    if not to_do:
        return
    run, _ = candidate.open()
    start = time.perf_counter()
    for done, index in enumerate(to_do, start=1):
        maps[index] = run(np.ascontiguousarray(inputs[index : index + 1]))
        if done % 50 == 0 or done == len(to_do):
            pace = (time.perf_counter() - start) / done
            print(
                f"{candidate.name} on {candidate.engine}: {done} of {len(to_do)}, {pace:.3f} s each",
                flush=True,
            )
    maps.flush()


def accuracy_rows(
    candidates: Sequence[Candidate], pairs: Sequence[Any], options: argparse.Namespace
) -> list[dict[str, Any]]:
    reference = maps_path(candidates[0], options.work)
    rows = []
    for candidate in candidates:
        indices = list(pictures_of(candidate, len(pairs), options.every))
        work = partial(score_one, reference, maps_path(candidate, options.work))
        scores, differences, ious = DatasetScores("paper"), [], []
        with ProcessPoolExecutor(usable_processors()) as pool:
            jobs = [(index, pairs[index].mask) for index in indices]
            for one, difference, iou in pool.map(work, jobs, chunksize=16):
                scores.add(one)
                differences.append(difference)
                ious.append(iou)
        rows.append(
            {
                "model": candidate.name,
                "engine": candidate.engine,
                "images": len(indices),
                **scores.figures(),
                "mean_difference": float(np.mean(differences)),
                "worst_difference": float(np.max(differences)),
                "worst_iou": float(np.min(ious)),
                "below_iou_0.95": int(np.sum(np.array(ious) < 0.95)),
                "below_iou_0.93": int(np.sum(np.array(ious) < 0.93)),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def score_one(reference: Path, path: Path, job: tuple[int, Path]) -> tuple[Any, float, float]:
    """Runs in a process of its own."""
    index, truth_path = job
    truth = grey_of(read_picture(truth_path))
    if truth is None:
        raise SystemExit(f"{truth_path} is not grey")
    probability = np.array(np.load(path, mmap_mode="r")[index])
    expected = np.array(np.load(reference, mmap_mode="r")[index])
    height, width = truth.shape
    mask = postprocess(probability, height=height, width=width, post="stretch", pre="official")
    found = parity(stretch(expected), stretch(probability))
    return score_picture(mask, truth, protocol="paper"), found.mean_difference, found.iou


def measure_speed(candidates: Sequence[Candidate], inputs: Any, rounds: int) -> None:
    """One inference of each in turn, again and again, after one that is not counted."""
    opened = []
    for candidate in candidates:
        run, candidate.executed = candidate.open()
        run(np.ascontiguousarray(inputs[:1]))
        opened.append((candidate, run))
    for number in range(rounds):
        batch = np.ascontiguousarray(inputs[number % len(inputs)][None])
        for candidate, run in opened:
            start = time.perf_counter()
            run(batch)
            candidate.times_ms.append((time.perf_counter() - start) * 1000)


def make_record(
    options: argparse.Namespace, candidates: Sequence[Candidate], rows: list[dict[str, Any]], images: int
) -> dict[str, Any]:
    medians = [statistics.median(candidate.times_ms) for candidate in candidates]
    base = medians[[candidate.name for candidate in candidates].index(RUNTIME)]
    for row, candidate, median in zip(rows, candidates, medians, strict=True):
        row |= {
            "executed": candidate.executed,
            "median_ms": round(median, 2),
            "times_ms": [round(one, 2) for one in candidate.times_ms],
            "speed_vs_onnxruntime_float32": round(base / median, 3),
        }
    return {
        "benchmark": "precision_table",
        "dataset": options.dataset.name,
        "images": images,
        "protocol": "paper",
        "calibration_pictures": CALIBRATION_COUNT,
        "threads": usable_processors(),
        "rounds": options.rounds,
        "commit": commit(),
        "machine": machine_facts(("u2forge", "openvino", "onnxruntime", "numpy")),
        "peer_versions": dict(peer_versions(options.peer_env)),
        "models": {path.name: path.stat().st_size for path in sorted(options.work.glob("*.onnx"))},
        "results": rows,
    }


def peer_versions(environment: Path) -> Iterator[tuple[str, str]]:
    code = f"from importlib.metadata import version; print(*(version(p) for p in {PEERS!r}))"
    answer = subprocess.run(
        [str(environment / "bin" / "python"), "-c", code], capture_output=True, text=True, check=True
    )
    yield from zip(PEERS, answer.stdout.split(), strict=True)


def table(record: dict[str, Any]) -> str:
    """In Markdown, as docs/accuracy.md has it."""
    lines = [
        "| model | engine | ran in | pictures | MAE | max F | mean map difference | worst | worst IoU | below 0.95 "
        "| ms | vs. ONNX Runtime float32 |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in record["results"]:
        lines.append(
            f"| {row['model']} | {row['engine']} | {row['executed']} | {row['images']} | {row['mae']:.5f} "
            f"| {row['max_f']:.4f} | {row['mean_difference']:.5f} | {row['worst_difference']:.4f} "
            f"| {row['worst_iou']:.3f} | {row['below_iou_0.95']} | {row['median_ms']:.0f} "
            f"| {row['speed_vs_onnxruntime_float32']:.2f}× |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
