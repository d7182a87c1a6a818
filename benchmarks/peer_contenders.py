"""Who is measured against whom: one row for each engine and precision, the network alone and whole pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OURS = "u2forge"


@dataclass(frozen=True)
class Contender:
    """One row. worker: ours, or the peer whose environment and worker file have that name; model: for make_model;
    options: what the peer's worker is told.

    The rest is for ours: the engine and how it is opened (threads: None for as many as the others have), and variables
    that its process has more.
    """

    name: str
    worker: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    engine: str = "auto"
    device: str = "auto"
    threads: int | None = None
    batch_size: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)


def _torch(
    name: str, *, bfloat16: bool = False, channels_last: bool = False, compiled: bool = False
) -> Contender:
    options = {"bfloat16": bfloat16, "channels_last": channels_last, "compiled": compiled}
    return Contender(f"PyTorch {name}", "pytorch", "safetensors", options)


def _ours(mode: str, *, engine: str, called: str) -> Contender:
    return Contender(f"u2forge {called} {mode}", OURS, mode, engine=engine)


def _native(mode: str) -> Contender:
    return _ours(mode, engine="native", called="native")


def _on_openvino(mode: str) -> Contender:
    return _ours(mode, engine="openvino", called="OpenVINO")


_NATIVE = tuple(map(_native, ("force_float32", "force_float16", "qint16_mixed_float32")))
# The first of each group is what the others are compared with.
NETWORK = (
    Contender("ONNX Runtime", "onnxruntime", "onnx"),
    *_NATIVE,
    *map(_on_openvino, ("force_float32", "force_float16", "qint8_mixed_float32")),
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
PICTURES = (Contender("rembg", "rembg", "rembg"), *_NATIVE, _on_openvino("qint8_mixed_float32"))
