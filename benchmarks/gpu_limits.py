"""What the device can do at most, measured in the same run: products of large matrices, copies of memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import torch

from gpu_time import RunTime
from u2forge.gpu.event_times import event_times_ms
from u2forge.measure.gpu_roofline import products_in

_SECONDS = 0.6
# Large enough that a GPU is full; small enough for a test on a processor.
_SIDE = {"cuda": 8192, "cpu": 256}
_COPIED_BYTES = {"cuda": 2**30, "cpu": 2**22}


def measured_limits(device: torch.device, run_time: RunTime) -> dict[str, dict[str, float]]:
    """tflop_per_s: of random matrices, by type; the faster half counts, as what else runs only slows down.
    gb_per_s: read and written within the device together, and between the processor's pinned memory and the device."""
    rates, speeds = {}, {}
    kinds = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if device.type == "cuda":
        kinds["tensorfloat32"] = torch.float32
    for name, dtype in kinds.items():
        with products_in(name):
            rates[name] = float(f"{_matrix_rate(device, dtype):.4g}")
        run_time.say(f"matrices of {name}: {rates[name]:g} TFLOP/s")
    for name, rate in _copies(device):
        speeds[name] = float(f"{rate:.4g}")
        run_time.say(f"copies, {name}: {speeds[name]:g} GB/s")
    return {"tflop_per_s": rates, "gb_per_s": speeds}


def _matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    side = _SIDE[device.type]
    # Random: of zeros a GPU multiplies faster, as it draws less.
    a, b = (torch.randn((side, side), device=device).to(dtype) for _ in range(2))
    result = torch.empty_like(a)
    return float(2 * side**3 / _call_s(device, lambda: torch.matmul(a, b, out=result)) / 1e12)


def _copies(device: torch.device) -> Iterator[tuple[str, float]]:
    count = _COPIED_BYTES[device.type]
    source, target = (torch.randint(0, 255, (count,), dtype=torch.uint8, device=device) for _ in range(2))
    yield "device", 2 * count / _call_s(device, lambda: target.copy_(source)) / 1e9
    if device.type == "cuda":
        pinned = torch.empty(count // 4, dtype=torch.uint8, pin_memory=True)
        part = target[: count // 4]
        to_device = _call_s(device, lambda: part.copy_(pinned, non_blocking=True))
        yield "host to device", len(part) / to_device / 1e9
        yield (
            "device to host",
            len(part) / _call_s(device, lambda: pinned.copy_(part, non_blocking=True)) / 1e9,
        )


def _call_s(device: torch.device, call: Callable[[], object]) -> float:
    """The median of the faster half of the calls of _SECONDS, after a third of that."""
    times: list[float] = []
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < _SECONDS or len(times) < 3:
        one = call_ms(device, call) / 1000
        if passed > _SECONDS / 3 or not times:
            times.append(one)
    return float(statistics.median(sorted(times)[: (len(times) + 1) // 2]))


def call_ms(device: torch.device, call: Callable[[], object]) -> float:
    """How long one call takes: on a GPU from its first kernel to its last."""
    if device.type != "cuda":
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * 1000
    return event_times_ms(call, repeats=1)[0]
