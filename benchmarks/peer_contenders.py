"""Who is measured against whom: one row for each engine and precision, the network alone and whole pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OURS = "u2forge"


@dataclass(frozen=True)
class Contender:
    """One row. worker: ours, or the peer whose environment and worker file have that name; model: for make_model;
    options: what the peer's worker is told."""

    name: str
    worker: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)


def _torch(
    name: str, *, bfloat16: bool = False, channels_last: bool = False, compiled: bool = False
) -> Contender:
    options = {"bfloat16": bfloat16, "channels_last": channels_last, "compiled": compiled}
    return Contender(f"PyTorch {name}", "pytorch", "safetensors", options)


_OUR_CONTENDERS = tuple(
    Contender(f"u2forge {mode}", OURS, mode)
    for mode in ("force_float32", "force_float16", "qint8_mixed_float32")
)
# The first of each group is what the others are compared with.
NETWORK = (
    Contender("ONNX Runtime", "onnxruntime", "onnx"),
    *_OUR_CONTENDERS,
    _torch("eager"),
    _torch("eager, channels last", channels_last=True),
    _torch("compiled", compiled=True),
    _torch("eager, channels last", bfloat16=True, channels_last=True),
    # The compiler chooses the layout by itself.
    _torch("compiled", bfloat16=True, compiled=True),
    Contender("ncnn", "ncnn", "ncnn", {"bfloat16": False}),
    Contender("ncnn", "ncnn", "ncnn", {"bfloat16": True}),
    Contender("MNN", "mnn", "mnn"),
    Contender("OpenVINO", "openvino", "onnx", {"hint": "f32"}),
    Contender("OpenVINO", "openvino", "onnx", {"hint": "bf16"}),
    Contender("OpenVINO, NNCF on its own graph", "openvino", "nncf_openvino", {"hint": "f32"}),
    Contender("OpenVINO, NNCF on the ONNX graph", "openvino", "nncf_onnx", {"hint": "f32"}),
)
PICTURES = (Contender("rembg", "rembg", "rembg"), *_OUR_CONTENDERS)
