"""Records of perf to compare: made of perf's own data classes, so that they are what perf writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from u2forge.measure.perf_row import PerfResult, PerfRow, TensorInfo
from u2forge.measure.spread import spread_of

MACHINE = {"processor": "Some Processor", "processors_usable": 2, "system": "Linux x86_64"}
STEADY = (99.8, 100.1, 99.9, 100.2, 100.0, 99.7, 100.3, 100.1, 99.9, 100.0)


def row(turns: Sequence[float] = STEADY, *, size: int = 32, **facts: Any) -> PerfRow:
    """A complete row, whose latency is the turns' median and whose throughput is what that gives."""
    latency = spread_of(turns) if turns else None
    picture = TensorInfo("image", "float32", "NCHW", (facts.get("batch_size", 1), 3, size, size), 4)
    plain: dict[str, Any] = {
        "model": "some/tiny.onnx",
        "path": "some/tiny.onnx",
        "scenario": "latency",
        "status": "complete",
        "name": "tiny",
        "precision": "force_float32",
        "executed": "float32",
        "engine": "openvino",
        "engine_version": "2025.1",
        "device": "CPU",
        "device_name": "Some Processor",
        "threads": 2,
        "inputs": (picture,),
        "throughput": 0.0 if latency is None else 1000 * facts.get("batch_size", 1) / latency.median,
        "latency": latency,
        "turn_medians": turns,
        "turn_times": turns,
    }
    return PerfRow(**{**plain, **facts})


def untold(**facts: Any) -> PerfRow:
    """A row that failed before it was opened."""
    return PerfRow(
        model="some/tiny.onnx", path="some/tiny.onnx", scenario="latency", status="failed", **facts
    )


def values(*rows: PerfRow, **top: Any) -> dict[str, Any]:
    """What perf's JSON holds, as plain values."""
    result = PerfResult(
        rows=rows,
        scenario="latency",
        parameters={},
        machine=MACHINE,
        versions={"u2forge": "0.1.0", "openvino": "2025.1"},
        date="2026-01-02T03:04:05+00:00",
    )
    found: dict[str, Any] = json.loads(json.dumps({**result.as_dict(), **top}))
    return found


def write(path: Path, *rows: PerfRow, **top: Any) -> Path:
    """That JSON as a file."""
    path.write_text(json.dumps(values(*rows, **top)), encoding="utf-8")
    return path
