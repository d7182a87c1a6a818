"""Is `u2forge perf` right? Beside OpenVINO's own benchmark_app, and beside bare loops on a network of about 1 ms.

    python benchmarks/perf_against_benchmark_app.py --json benchmarks/results/mine.json

Ours is what the command reports (u2forge.perf, whose worker is a process of its own). Same model file, threads,
streams, batch and precision for all; in turn, medians of the rounds' ratios. The record is written after each result.

Agreement: our median latency (one stream) or pictures a second (two streams) by benchmark_app's.

Overhead, with one stream: ours by each of two loops, less 1. `tight`: set_tensor, start_async, wait and a copy of the
answer, which is what our engine does, and no more. `infer`: OpenVINO's own Python call, infer(…, share_inputs=True),
and a copy of the answer. "Overhead on a 1 ms network is under 2 %" is meant of the time of an inference that perf
reports: `latency` of `tight`, our median by the loop's own. Beside it `throughput`: the same of the time per picture
that pictures a second give, with all that happens between two inferences.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import u2forge
from machine import commit
from own_models import DEFAULT_WORK, own_models
from u2forge.engine.processor import usable_processors
from u2forge.graph.architecture import architecture_of, expected_parameters
from u2forge.measure.machine import machine_facts
from u2forge.measure.perf_row import PerfRow
from u2forge.precision import PrecisionMode
from u2forge.weights.checkpoint import write_safetensors
from write_record import check_place, write_record

MODES: tuple[PrecisionMode, ...] = ("force_float32", "force_float16", "qint8_mixed_float32")
# What benchmark_app is to ask OpenVINO for, by what ours ran in. The rest of our 8-bit model is in float32.
HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16", "int8": "f32"}
WARM_UP_S = 1.0
LOOPS = ("tight", "infer")
BARE_LOOP = """
import statistics, sys, time
import numpy as np, openvino
kind, model, threads, warm_up_s, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), *map(float, sys.argv[4:6])
options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
options["ENABLE_CPU_PINNING"] = False
compiled = openvino.Core().compile_model(model, "CPU", options)
request = compiled.create_infer_request()
name, answer = compiled.inputs[0].get_any_name(), compiled.outputs[0].get_any_name()
batch = np.random.default_rng(0).standard_normal(list(compiled.inputs[0].shape)).astype(np.float32)
tensor = openvino.Tensor(batch, shared_memory=True)
def tight():
    request.set_tensor(name, tensor)
    request.start_async()
    request.wait()
    return np.array(request.get_tensor(answer).data)
def infer():
    return np.array(request.infer({name: batch}, share_inputs=True)[answer])
def run(once, seconds):
    clock, times = time.perf_counter, []
    start = clock()
    while clock() - start < seconds:
        before = clock()
        once()
        times.append(clock() - before)
    return statistics.median(times) * 1000, len(times) / (clock() - start)
once = {"tight": tight, "infer": infer}[kind]
run(once, warm_up_s)
print(*run(once, seconds))
"""


def main() -> None:
    options = parse_options()
    check_place(options.json)
    record: dict[str, Any] = {
        "benchmark": "perf_against_benchmark_app",
        "commit": commit(),
        "machine": machine_facts(("u2forge", "openvino", "numpy")),
        "seconds_each": options.seconds,
        "rounds": options.rounds,
        "results": [],
    }

    def keep(result: dict[str, Any]) -> None:
        record["results"].append(result)
        write_record(options.json, record)
        print(json.dumps(result), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        # The shorter part first.
        if not options.agreement_only:
            keep(overhead(small_network(Path(folder)), options))
        if not options.overhead_only:
            modes = options.precision or MODES
            for model in own_models(options.work, options.calibration, modes):
                for streams in (1, 2):
                    keep(agreement(model, streams, options))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calibration", type=Path, help="a folder of photos for the quantized model")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="models are kept here")
    parser.add_argument("--precision", nargs="+", choices=MODES, help="of the agreement")
    parser.add_argument("--threads", type=int, default=usable_processors())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each tool in each round")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--agreement-only", action="store_true")
    parts.add_argument("--overhead-only", action="store_true")
    parser.add_argument("--json", type=Path, help="write the record here")
    return parser.parse_args()


def agreement(model: Path, streams: int, options: argparse.Namespace) -> dict[str, Any]:
    """Ours by benchmark_app's, over all rounds."""
    figure = "latency_ms" if streams == 1 else "pictures_per_s"
    ours, theirs = [], []
    for _ in range(options.rounds):
        row = our_row(model, streams, options)
        ours.append(figures(row)[figure])
        theirs.append(benchmark_app(model, HINTS[row.executed], streams, options)[figure])
    return {
        "precision": row.precision,
        "executed": row.executed,
        "streams": streams,
        "threads": options.threads,
        "figure": figure,
        "u2forge": statistics.median(ours),
        "benchmark_app": statistics.median(theirs),
        **_ratios("ratio", ours, theirs, less=0),
    }


def overhead(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Ours by each bare loop's, less 1, over all rounds; from the median latency, and from pictures a second."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ("u2forge", *LOOPS)}
    for _ in range(options.rounds):
        found["u2forge"].append(figures(our_row(model, 1, options)))
        for kind in LOOPS:
            found[kind].append(bare_loop(kind, model, options))
    latency = {name: [one["latency_ms"] for one in values] for name, values in found.items()}
    picture = {name: [1000 / one["pictures_per_s"] for one in values] for name, values in found.items()}
    return {
        "network": "small",
        "threads": options.threads,
        "median_ms": {name: round(statistics.median(values), 4) for name, values in latency.items()},
        "ms_per_picture": {name: round(statistics.median(values), 4) for name, values in picture.items()},
        "overhead": {
            kind: {
                **_ratios("latency", latency["u2forge"], latency[kind], less=1),
                **_ratios("throughput", picture["u2forge"], picture[kind], less=1),
            }
            for kind in LOOPS
        },
    }


def _ratios(name: str, ours: Sequence[float], theirs: Sequence[float], *, less: int) -> dict[str, Any]:
    """The median of the rounds' ratios, and each of them."""
    each = [round(a / b - less, 4) for a, b in zip(ours, theirs, strict=True)]
    return {name: round(statistics.median(each), 4), f"{name}_each": each}


def our_row(model: Path, streams: int, options: argparse.Namespace) -> PerfRow:
    """What `u2forge perf` reports."""
    result = u2forge.perf(
        model,
        engine=["openvino"],
        threads=[options.threads],
        streams=[streams],
        batch_size=[1],
        duration=options.seconds,
        iterations=1,
        warmup=1000 * WARM_UP_S,
    )
    return result.rows[0]


def figures(row: PerfRow) -> dict[str, float]:
    assert row.latency is not None  # perf raises where its only row failed
    return {"latency_ms": row.latency.median, "pictures_per_s": row.throughput}


def bare_loop(kind: str, model: Path, options: argparse.Namespace) -> dict[str, float]:
    """`tight` or `infer`, in a process of its own."""
    words = [kind, model, options.threads, WARM_UP_S, options.seconds]
    said = run([sys.executable, "-c", BARE_LOOP, *map(str, words)])
    latency_ms, pictures_per_s = map(float, said.split())
    return {"latency_ms": latency_ms, "pictures_per_s": pictures_per_s}


def benchmark_app(model: Path, hint: str, streams: int, options: argparse.Namespace) -> dict[str, float]:
    """OpenVINO's own tool, synchronous for one stream, else with a request for each."""
    program = Path(sys.executable).with_name("benchmark_app")
    command = [str(program), "-m", str(model), "-d", "CPU", "-hint", "none", "-infer_precision", hint]
    command += ["-nstreams", str(streams), "-nthreads", str(options.threads), "-pin", "NO"]
    command += ["-nireq", str(streams), "-api", "sync" if streams == 1 else "async"]
    command += ["-t", str(int(options.seconds)), "-data_shape", "[1,3,320,320]"]
    said = run(command)
    median = re.search(r"Median:\s+([\d.]+) ms", said)
    throughput = re.search(r"Throughput:\s+([\d.]+) FPS", said)
    if median is None or throughput is None:
        raise SystemExit(f"benchmark_app told no figures:\n{said}")
    return {"latency_ms": float(median[1]), "pictures_per_s": float(throughput[1])}


def run(command: Sequence[str]) -> str:
    """What the command printed. Raises SystemExit with all of it where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(
            f"{Path(command[0]).name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
    return done.stdout


def small_network(folder: Path) -> Path:
    """A U²-Net of the full depth and 4 to 8 channels, random weights, on 32 × 32 pixels: about 1 ms."""
    architecture = architecture_of("small", mids=(4,) * 11, outs=(8,) * 11)
    random = np.random.default_rng(0)
    arrays = {
        name: np.abs(random.normal(1, 0.1, shape)).astype(np.float32)
        if name.endswith("running_var")
        else random.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in expected_parameters(architecture, batch_norm=True).items()
    }
    write_safetensors(arrays, folder / "small.safetensors")
    u2forge.build(folder / "small.safetensors", out=folder / "small.onnx", input_height=32, input_width=32)
    return folder / "small.onnx"


if __name__ == "__main__":
    main()
