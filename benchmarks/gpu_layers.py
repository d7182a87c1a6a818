"""Where the time of one batch goes on the device: PyTorch's operators, and our fused steps with their kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from gpu_candidates import DTYPES, Place, chosen_network
from gpu_limits import call_ms
from gpu_models import FLOAT16
from gpu_opened import cudnn_settings
from u2forge.engine.cuda_profile import profile_cuda
from u2forge.engine.protocol import EngineOptions
from u2forge.gpu.placed_step import PlacedStep
from u2forge.gpu.step_alternatives import step_alternatives
from u2forge.graph.summary import LayerSummary, summarize

LONGEST = 25
_INFERENCES = 5
# Calls in one captured graph: a launch takes as long as a small kernel.
_CALLS = 10


def operator_times(place: Place, batch_size: int, tflop_per_s: float | None) -> dict[str, Any]:
    """Of float16 on PyTorch's kernels, each operator by itself."""
    height, width = place.models.size
    model = place.models.files[FLOAT16]
    batch = {model.manifest.inputs[0].name: np.zeros((batch_size, 3, height, width), np.float32)}
    times = profile_cuda(model, EngineOptions(device=str(place.device)), batch, inferences=_INFERENCES)
    known = {layer.name: layer for layer in summarize(place.models.graph).layers}
    rows = []
    for layer in times:
        found = known.get(layer.name)
        size, width_in = _of_layer(place, found)
        rows.append(
            _row(
                layer.name,
                layer.operator,
                size,
                width_in,
                layer.kernel,
                layer.best_ms,
                0 if found is None else found.macs * batch_size,
                tflop_per_s,
            )
        )
    return _summed("PyTorch's operators", batch_size, rows)


def step_times(place: Place, batch_size: int, tflop_per_s: float | None) -> dict[str, Any]:
    """Of float16, each fused step by itself, on the kernel chosen for it."""
    network, facts = chosen_network(place, DTYPES[FLOAT16], batch_size)
    network.run()
    rows = []
    for step, kernel in zip(network.steps, network.kernels, strict=True):
        ms = _step_ms(place, step_alternatives(step)[kernel](), step.target)
        macs = 0 if step.parameters is None else _macs(step)
        size = f"{step.target.shape[2]}×{step.target.shape[3]}"
        rows.append(
            _row(step.name, step.kind.name.lower(), size, _channels(step), kernel, ms, macs, tflop_per_s)
        )
    return _summed("fused steps", batch_size, rows) | {"choice": facts}


def _step_ms(place: Place, run: Callable[[], None], result: torch.Tensor) -> float:
    def calls() -> torch.Tensor:
        for _ in range(_CALLS):
            run()
        return result

    if place.on_gpu:
        settings = cudnn_settings(tensorfloat32=False, tries_kernels=True)
        replay = place.capture_memory.captured(calls, settings)
    else:
        replay = calls
    with torch.inference_mode():
        return min(call_ms(place.device, replay) for _ in range(_INFERENCES)) / _CALLS


def _macs(step: PlacedStep) -> int:
    """With the padding of channels that the kernel multiplies, too."""
    assert step.parameters is not None
    outputs, inputs, rows, columns = step.parameters.weight.shape
    batch, _, height, width = step.target.shape
    return int(outputs * inputs * rows * columns * batch * height * width)


def _channels(step: PlacedStep) -> str:
    return f"{step.source.shape[1]} → {step.target.shape[1]}"


def _of_layer(place: Place, layer: LayerSummary | None) -> tuple[str, str]:
    """Size and channels of what it gives."""
    shape = None if layer is None else layer.output_shape
    if shape is None or len(shape) != 4:
        return "–", "–"
    return f"{shape[2]}×{shape[3]}", f"→ {shape[1]}"


def _row(
    name: str,
    kind: str,
    size: str,
    channels: str,
    kernel: str,
    ms: float,
    macs: int,
    tflop_per_s: float | None,
) -> dict[str, Any]:
    rate = macs * 2 / ms / 1e9 if macs and ms and tflop_per_s else None
    return {
        "name": name,
        "kind": kind,
        "size": size,
        "channels": channels,
        "kernel": kernel,
        "ms": round(ms, 5),
        "gflop": round(macs * 2 / 1e9, 3),
        "share_of_limit": None if rate is None or tflop_per_s is None else round(rate / tflop_per_s, 4),
    }


def _summed(network: str, batch_size: int, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    total = sum(row["ms"] for row in rows)

    def by(key: str) -> list[dict[str, Any]]:
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault(row[key], []).append(row)
        found = [
            {
                key: name,
                "steps": len(members),
                "ms": round(sum(row["ms"] for row in members), 4),
                "of_all": round(sum(row["ms"] for row in members) / total, 4),
                "gflop": round(sum(row["gflop"] for row in members), 2),
            }
            for name, members in groups.items()
        ]
        return sorted(found, key=lambda group: -float(group["ms"]))

    return {
        "network": network,
        "arithmetic": FLOAT16,
        "batch_size": batch_size,
        "steps": len(rows),
        "total_ms": round(total, 4),
        "longest": sorted(rows, key=lambda row: -row["ms"])[:LONGEST],
        "by_kind": by("kind"),
        "by_channels": by("channels"),
        "by_size": by("size"),
    }
