"""Is `u2forge perf` right? Beside OpenVINO's own benchmark_app, and beside a bare loop on a network of about 1 ms.

    python benchmarks/perf_against_benchmark_app.py --json benchmarks/results/mine.json

Same model file, threads, streams, batch and precision; every tool a process of its own, in turn, medians of
--rounds. Agreement: our median latency (one stream) or pictures a second (two streams) by benchmark_app's.
Overhead: our pictures a second, whole turns, by those of a loop that does nothing but OpenVINO's `infer` and a
copy of its answer, less 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import u2forge
from machine import commit
from own_models import DEFAULT_WORK, own_models
from u2forge.graph.architecture import architecture_of, expected_parameters
from u2forge.measure.candidate import Candidate
from u2forge.measure.machine import machine_facts
from u2forge.measure.worker_process import WorkerProcess
from u2forge.weights.checkpoint import write_safetensors

HINTS = {"force_float32": "f32", "force_float16": "bf16", "qint8_mixed_float32": "f32"}
BARE_LOOP = """
import sys, time
import numpy as np, openvino
model, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
options = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
options["ENABLE_CPU_PINNING"] = False
compiled = openvino.Core().compile_model(model, "CPU", options)
request = compiled.create_infer_request()
name, answer = compiled.inputs[0].get_any_name(), compiled.outputs[0].get_any_name()
batch = np.random.default_rng(0).standard_normal(list(compiled.inputs[0].shape)).astype(np.float32)
def run(seconds):
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        request.infer({name: batch}, share_inputs=True)[answer]
        count += 1
    return count / (time.perf_counter() - start)
run(1)
print(run(seconds))
"""


def main() -> None:
    options = parse_options()
    records = []
    with tempfile.TemporaryDirectory() as folder:
        if not options.overhead_only:
            for model in own_models(options.work, options.calibration, tuple(HINTS)):
                for streams in (1, 2):
                    records.append(agreement(model, streams, options))
                    print(json.dumps(records[-1]), flush=True)
        small = small_network(Path(folder))
        records.append(overhead(small, options))
        print(json.dumps(records[-1]))
    if options.json:
        facts = machine_facts(("u2forge", "openvino", "numpy"))
        record = {
            "benchmark": "perf_against_benchmark_app",
            "commit": commit(),
            "machine": facts,
            "results": records,
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calibration", type=Path, help="a folder of photos for the quantized model")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="models are kept here")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each tool in each round")
    parser.add_argument("--overhead-only", action="store_true")
    parser.add_argument("--json", type=Path, help="write the record here")
    return parser.parse_args()


def agreement(model: Path, streams: int, options: argparse.Namespace) -> dict[str, Any]:
    mode = next(mode for mode in HINTS if mode in model.name)

    def theirs() -> dict[str, float]:
        return benchmark_app(model, HINTS[mode], streams, options)

    found = in_turn(
        {"u2forge": lambda: ours(model, streams, options), "benchmark_app": theirs}, options.rounds
    )
    figure = "latency_ms" if streams == 1 else "pictures_per_s"
    ratios = [a[figure] / b[figure] for a, b in zip(found["u2forge"], found["benchmark_app"], strict=True)]
    return {
        "precision": mode,
        "streams": streams,
        "threads": options.threads,
        "figure": figure,
        **{name: statistics.median(one[figure] for one in values) for name, values in found.items()},
        "ratio": round(statistics.median(ratios), 4),
        "ratios": [round(one, 4) for one in ratios],
    }


def overhead(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    def bare() -> dict[str, float]:
        command = [sys.executable, "-c", BARE_LOOP, str(model), str(options.threads), str(options.seconds)]
        return {"pictures_per_s": float(subprocess.run(command, capture_output=True, check=True).stdout)}

    found = in_turn({"u2forge": lambda: ours(model, 1, options), "bare loop": bare}, options.rounds)
    ratios = [
        b["pictures_per_s"] / a["pictures_per_s"]
        for a, b in zip(found["u2forge"], found["bare loop"], strict=True)
    ]
    return {
        "network": "small",
        "ms": round(statistics.median(1000 / one["pictures_per_s"] for one in found["bare loop"]), 3),
        "overhead": round(statistics.median(ratios) - 1, 4),
        "overheads": [round(one - 1, 4) for one in ratios],
    }


def in_turn(
    tools: dict[str, Callable[[], dict[str, float]]], rounds: int
) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in tools}
    for _ in range(rounds):
        for name, run in tools.items():
            found[name].append(run())
    return found


def ours(model: Path, streams: int, options: argparse.Namespace) -> dict[str, float]:
    """What the worker of `u2forge perf` gives in one turn."""
    candidate = Candidate(str(model), str(model), engine="openvino", threads=options.threads, streams=streams)
    with WorkerProcess(label="u2forge") as worker:
        worker.ask({"open": candidate.as_dict()})
        worker.ask({"warm_up": 1000})
        turn = worker.ask({"turn": {"seconds": options.seconds, "iterations": 1}})["turn"]
    latencies = turn["samples"]["latency"]
    return {
        "latency_ms": statistics.median(latencies),
        "pictures_per_s": len(latencies) / turn["wall_s"],
    }


def benchmark_app(model: Path, hint: str, streams: int, options: argparse.Namespace) -> dict[str, float]:
    """OpenVINO's own tool, synchronous for one stream, else with a request for each."""
    program = Path(sys.executable).with_name("benchmark_app")
    command = [str(program), "-m", str(model), "-d", "CPU", "-hint", "none", "-infer_precision", hint]
    command += ["-nstreams", str(streams), "-nthreads", str(options.threads), "-pin", "NO"]
    command += ["-nireq", str(streams), "-api", "sync" if streams == 1 else "async"]
    command += ["-t", str(int(options.seconds)), "-data_shape", "[1,3,320,320]"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    median = re.search(r"Median:\s+([\d.]+) ms", said)
    throughput = re.search(r"Throughput:\s+([\d.]+) FPS", said)
    if median is None or throughput is None:
        raise SystemExit(f"benchmark_app said neither median nor throughput:\n{said[-2000:]}")
    return {"latency_ms": float(median[1]), "pictures_per_s": float(throughput[1])}


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
