"""One inference of a session of ONNX Runtime, and how long its parts took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from u2forge.engine.onnxruntime_devices import Device
from u2forge.engine.pooled_engine import Answer
from u2forge.engine.protocol import Phases, Tensors
from u2forge.tensor_spec import TensorSpec

if TYPE_CHECKING:
    import onnxruntime

Infer = Callable[["onnxruntime.IOBinding", Tensors, Phases], Answer]


def inference(session: onnxruntime.InferenceSession, outputs: Sequence[TensorSpec], device: Device) -> Infer:
    """How the session infers on that device: bound where it can tell copies and computing apart, else in one."""
    if device.kind == "cpu" or device.provider.is_nvidia:
        return partial(_infer_bound, session, outputs, device)
    # On other devices `run` copies by itself, and does not tell how long that takes.
    return partial(_infer_in_one, session, outputs)


def _infer_bound(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[TensorSpec],
    device: Device,
    binding: onnxruntime.IOBinding,
    inputs: Tensors,
    phases: Phases,
) -> Answer:
    bind_input = _bind_on_gpu if device.provider.is_nvidia else _bind_on_processor
    memory, number = ("cuda", device.number) if device.provider.is_nvidia else ("cpu", 0)
    clock = time.perf_counter
    start = clock()
    arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
    try:
        for name, array in arrays.items():
            bind_input(binding, name, array, device)
        for spec in outputs:
            binding.bind_output(spec.name, memory, number)
        handed_over = clock()
        # It returns when all is computed: an interrupt waits for it. Of a GPU, when this run's own stream has ended.
        session.run_with_iobinding(binding)
        computed = clock()
        answer = dict(zip((spec.name for spec in outputs), binding.copy_outputs_to_cpu(), strict=True))
    finally:
        binding.clear_binding_inputs()
        binding.clear_binding_outputs()
    phases.host_to_device_ms = (handed_over - start) * 1000
    phases.compute_ms = (computed - handed_over) * 1000
    phases.device_to_host_ms = (clock() - computed) * 1000
    return answer


def _bind_on_processor(
    binding: onnxruntime.IOBinding,
    name: str,
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
    _: Device,
) -> None:
    binding.bind_cpu_input(name, array)


def _bind_on_gpu(
    binding: onnxruntime.IOBinding,
    name: str,
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
    device: Device,
) -> None:
    """Copied there when this returns. Binding.synchronize_inputs would add nothing but waiting for the other streams:
    it is one of the whole device."""
    import onnxruntime

    value = onnxruntime.OrtValue.ortvalue_from_numpy(array, "cuda", device.number)
    binding.bind_ortvalue_input(name, value)


def _infer_in_one(
    session: onnxruntime.InferenceSession,
    outputs: Sequence[TensorSpec],
    binding: onnxruntime.IOBinding,
    inputs: Tensors,
    phases: Phases,
) -> Answer:
    names = [spec.name for spec in outputs]
    start = time.perf_counter()
    answer = dict(zip(names, session.run(names, dict(inputs)), strict=True))
    phases.compute_ms = (time.perf_counter() - start) * 1000
    return answer
