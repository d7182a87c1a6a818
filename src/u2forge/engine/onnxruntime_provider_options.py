"""A model and a device → the options of ONNX Runtime's provider for it.

Looked up in ONNX Runtime's documentation and issues, and none of it timed by us. Left at their defaults:
do_copy_in_default_stream (1: with streams of their own, copies and kernels race, issue 4829), enable_cuda_graph and
trt_cuda_graph_enable (0: a captured graph belongs to the thread that captured it, and requests of ours run in any),
fuse_conv_bias (0: each shape is compiled at its first run).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from u2forge.engine.onnxruntime_devices import Device
from u2forge.model_file.read import ModelFile
from u2forge.precision import float_type, quantized_bits
from u2forge.tensor_spec import TensorSpec

# Batches that an engine of TensorRT is made for where the model leaves them open: least, fastest, most.
TENSORRT_BATCHES = (1, 8, 32)


def provider_options(device: Device, model: ModelFile) -> dict[str, str]:
    """What the device's provider is made with, but for what concerns a cache."""
    if device.kind == "cuda":
        return _cuda_options(device, model)
    if device.kind == "tensorrt":
        return _tensorrt_options(device, model)
    return {}


def cache_options(folder: Path) -> dict[str, str]:
    """What has TensorRT keep what it compiled in that folder, and take it from there: compiling takes minutes."""
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        # Its measurements of kernels: another batch or GPU of the kind is compiled sooner.
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }


def _cuda_options(device: Device, model: ModelFile) -> dict[str, str]:
    return {
        "device_id": str(device.number),
        # On by default, and no float32: products keep 10 bits of the mantissa.
        "use_tf32": "0" if float_type(model.manifest.precision) == "float32" else "1",
        # The default, EXHAUSTIVE, takes seconds at each new shape, of a last smaller batch say, and measured by others
        # (PaddleX, pull request 5057) what it finds is no faster.
        "cudnn_conv_algo_search": "HEURISTIC",
        # By default the memory kept doubles, up to twice of what is needed.
        "arena_extend_strategy": "kSameAsRequested",
    }


def _tensorrt_options(device: Device, model: ModelFile) -> dict[str, str]:
    return {
        "device_id": str(device.number),
        "trt_fp16_enable": "1" if float_type(model.manifest.precision) == "float16" else "0",
        # Without it TensorRT refuses a graph that rounds to 8 bits (issue 13381).
        "trt_int8_enable": "1" if quantized_bits(model.manifest.precision) == 8 else "0",
        **_batch_profile(model.manifest.inputs),
    }


def _batch_profile(inputs: tuple[TensorSpec, ...]) -> Mapping[str, str]:
    """The sizes that one compiled engine is for; without, TensorRT compiles anew at each batch larger than all before.
    None for inputs whose other sizes are open, too: nobody says which."""
    if all(spec.batch_size is not None for spec in inputs) or any(None in spec.shape[1:] for spec in inputs):
        return {}
    return {
        f"trt_profile_{name}_shapes": ",".join(_sizes(spec, batch) for spec in inputs)
        for name, batch in zip(("min", "opt", "max"), TENSORRT_BATCHES, strict=True)
    }


def _sizes(spec: TensorSpec, batch: int) -> str:
    sizes = (spec.batch_size or batch, *spec.shape[1:])
    return f"{spec.name}:{'x'.join(map(str, sizes))}"
