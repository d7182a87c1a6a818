"""One model opened in a process of its own as `infer` opens it → how long each step took, and what memory it holds.

`opened_in_process` starts this file; its last line of output is JSON. With --kernels instead: which of the engine's
kernels ran, and how long.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WARM_UP = 5
_PROFILED = 5
_LONGEST_S = 600


def opened_in_process(
    model: Path,
    *,
    engine: str,
    threads: int,
    cache: Path | None = None,
    kernels: bool = False,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """steps_ms, and in MB (10^6 bytes) resident_mb, from_files_mb, peak_mb, after WARM_UP inferences of noise; or
    kernels_ms by operator and kernel. cache: the folder of prepared and compiled models, None for none. environment:
    variables that the process has more. Raises RuntimeError with what the process said where it fails."""
    command = [sys.executable, str(Path(__file__).resolve()), str(model), engine, str(threads)]
    command += [] if cache is None else ["--cache", str(cache)]
    command += ["--kernels"] if kernels else []
    start = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=_LONGEST_S
    )
    wall_ms = (time.perf_counter() - start) * 1000
    if done.returncode != 0 or not done.stdout.strip():
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**answer, "process_ms": round(wall_ms, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("engine")
    parser.add_argument("threads", type=int)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--kernels", action="store_true")
    options = parser.parse_args()
    answer = _kernels(options) if options.kernels else _opened(options)
    print(json.dumps(answer))


def _opened(options: argparse.Namespace) -> dict[str, Any]:
    steps_ms: dict[str, float] = {}
    clock = time.perf_counter
    start = clock()
    from u2forge.engine.protocol import EngineOptions
    from u2forge.engine.registry import import_engine, open_model
    from u2forge.model_file.read import open_model_file

    steps_ms["u2forge"] = (clock() - start) * 1000
    start = clock()
    import_engine(options.engine)
    steps_ms["import"] = (clock() - start) * 1000
    start = clock()
    model = open_model_file(options.model)
    steps_ms["model"] = (clock() - start) * 1000
    opened = open_model(
        model,
        engine=options.engine,
        options=EngineOptions(threads=options.threads, cache_folder=options.cache),
    )
    steps_ms |= opened.info.opening_ms
    # No part of opening, and of all candidates' memory the same.
    from u2forge.measure.timed_network import noise_for

    inputs = noise_for(opened.info.inputs, batch_size=1)
    start = clock()
    opened.run(inputs)
    steps_ms["first_inference"] = (clock() - start) * 1000
    for _ in range(WARM_UP):
        opened.run(inputs)
    return {
        "executed": opened.info.precision_executed,
        "steps_ms": {name: round(value, 2) for name, value in steps_ms.items()},
        **{name: round(value, 1) for name, value in _memory_mb().items()},
    }


def _memory_mb() -> dict[str, float]:
    """resident: with the pages of mapped files that were read; from_files: these, which processes share; peak: the most
    that was resident. Linux only."""
    status = Path("/proc/self/status").read_text()
    found = {}
    for name, field in (("resident_mb", "VmRSS"), ("from_files_mb", "RssFile"), ("peak_mb", "VmHWM")):
        line = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
        assert line is not None
        found[name] = int(line[1]) * 1024 / 1e6
    return found


def _kernels(options: argparse.Namespace) -> dict[str, Any]:
    from u2forge.engine.protocol import EngineOptions
    from u2forge.engine.registry import profile_layers
    from u2forge.measure.timed_network import noise_for
    from u2forge.model_file.read import read_manifest

    layers = profile_layers(
        options.model,
        engine=options.engine,
        options=EngineOptions(threads=options.threads),
        inputs=noise_for(read_manifest(options.model).inputs, batch_size=1),
        inferences=_PROFILED,
    )
    found: dict[str, float] = {}
    for layer in layers:
        name = f"{layer.operator} {layer.kernel}"
        found[name] = found.get(name, 0.0) + layer.ms
    return {"kernels_ms": {name: round(ms, 2) for name, ms in sorted(found.items(), key=lambda one: -one[1])}}


if __name__ == "__main__":
    main()
