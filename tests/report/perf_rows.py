"""Rows of perf made by hand, for whatever shows or compares them: no engine, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from u2forge.measure.layer_times import GroupRow, LayerRow, LayerTable
from u2forge.measure.perf_row import UTILIZATION, PerfResult, PerfRow, TensorInfo
from u2forge.measure.spread import Spread, spread_of

PERCENTILES = (50.0, 90.0, 95.0, 99.0)
# Names as attackers and file systems make them: markup, a formula, a newline, an escape, a turned direction, a byte
# that is no UTF-8, a brace, and long.
HOSTILE = '=<script>alert("1")</script>|`*\n\x1b[31m\u202e\udcff{x}&é漢' + "x" * 300


def steady(middle: float, *, count: int = 20) -> Spread:
    """A spread from 10 % below that to 10 % above, evenly."""
    return spread_of([middle * (0.9 + 0.2 * index / (count - 1)) for index in range(count)], PERCENTILES)


def perf_row(**changes: Any) -> PerfRow:
    """A complete row of u2net in force_float32: 20 inferences of 100 ms."""
    values: dict[str, Any] = {
        "model": "u2net",
        "path": "/models/u2net.onnx",
        "scenario": "latency",
        "status": "complete",
        "name": "u2net",
        "model_sha256": "ab" * 32,
        "size_bytes": 176_000_000,
        "precision": "force_float32",
        "executed": "float32",
        "engine": "openvino",
        "engine_version": "2026.1.0",
        "device": "CPU",
        "device_name": "A Processor",
        "batch_size": 1,
        "threads": 2,
        "streams": 1,
        "inputs": (TensorInfo("image", "float32", "NCHW", (1, 3, 320, 320), 1_228_800),),
        "outputs": (TensorInfo("d0", "float32", "NCHW", (1, 1, 320, 320), 409_600),),
        "opening_ms": {
            "import": 431.25,
            "model": 80.5,
            "engine": 1200.0,
            "contexts": 5.25,
            "first_inference": 130.0,
            "warm_up": 210.0,
        },
        "iterations": 20,
        "wall_s": 2.0,
        "compute_s": 1.96,
        "throughput": 10.0,
        "latency": steady(100.0),
        "phases": {
            "enqueue": steady(0.05),
            "host_to_device": None,
            "compute": steady(98.0),
            "device_to_host": steady(0.5),
        },
        "per_hundred": ({"latency": 100.0, "enqueue": 0.05, "compute": 98.0, "device_to_host": 0.5},),
        "turn_medians": (100.0, 101.0, 99.0, 100.0, 102.0, 98.0),
        "utilization": {
            **dict.fromkeys(UTILIZATION),
            "cpu_percent": spread_of([180.0, 190.0, 200.0]),
            "memory_mb": spread_of([500.0, 510.0, 520.0]),
        },
        "options": "--engine openvino --streams 1 --batch-size 1",
    }
    return PerfRow(**(values | changes))


def failed_row(**changes: Any) -> PerfRow:
    """A row that failed before its model was read."""
    values: dict[str, Any] = {
        "model": "u2net",
        "path": "/models/u2net.onnx",
        "scenario": "latency",
        "status": "failed",
        "reason": "engine 'onnxruntime': expected a device that is there; found none. To mend: take CPU.",
        "engine": "onnxruntime",
    }
    return PerfRow(**(values | changes))


def perf_result(rows: Sequence[PerfRow], **changes: Any) -> PerfResult:
    """A result of these rows, on a machine of two processors."""
    values: dict[str, Any] = {
        "scenario": rows[0].scenario if rows else "latency",
        "parameters": {
            "iterations": 10,
            "duration_s": 3.0,
            "warmup_ms": 200.0,
            "percentiles": list(PERCENTILES),
        },
        "machine": {
            "processor": "A Processor",
            "processors_usable": 2,
            "processor_features": ["avx2", "avx512f"],
            "governor": None,
        },
        "versions": {"u2forge": "0.1.0", "openvino": "2026.1.0"},
        "date": "2026-11-25T09:00:00+00:00",
    }
    return PerfResult(rows=tuple(rows), **(values | changes))


def layer_table(**changes: Any) -> LayerTable:
    """Three layers in two stages, 90 ms in all."""
    values: dict[str, Any] = {
        "profiler": "openvino",
        "inferences": 10,
        "layers": (
            LayerRow(
                "stage1.conv",
                "stage1",
                "Convolution",
                "brgconv_avx512",
                "float32",
                60.0,
                60.0,
                2 / 3,
                3 * 10**9,
                50.0,
                0.5,
            ),
            LayerRow("stage1.pool", "stage1", "MaxPool", "jit", "float32", 10.0, 70.0, 1 / 9, 0, None, None),
            LayerRow(
                "stage1d.conv",
                "stage1d",
                "Convolution",
                "brgconv_avx512",
                "float32",
                20.0,
                90.0,
                2 / 9,
                10**9,
                50.0,
                0.5,
            ),
        ),
        "stages": (
            GroupRow("stage1", 2, 70.0, 7 / 9, 3 * 10**9, 42.857),
            GroupRow("stage1d", 1, 20.0, 2 / 9, 10**9, 50.0),
        ),
        "operators": (
            GroupRow("Convolution", 2, 80.0, 8 / 9, 4 * 10**9, 50.0),
            GroupRow("MaxPool", 1, 10.0, 1 / 9, 0, None),
        ),
        "peaks_gmac_per_s": {"float32": 100.0, "bfloat16": 210.0},
        "bandwidth_gb_per_s": 23.4,
    }
    return LayerTable(**(values | changes))
