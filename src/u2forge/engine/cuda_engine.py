"""The engine cuda: NVIDIA GPUs through PyTorch, pre- and postprocessing included; on a processor, their reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import onnx_ir as ir
import torch
from numpy.typing import NDArray

from u2forge.elapsed import ms_since
from u2forge.engine.cuda_contender import fused_contender
from u2forge.engine.cuda_device import NAME, Arithmetic, GpuDevice, find_device, gpu_devices, open_device
from u2forge.engine.cuda_slot import (
    Contender,
    CudaSlot,
    KnownBatches,
    ProcessorSlot,
    Slot,
    library_settings,
)
from u2forge.engine.fits_manifest import FoundTensor, check_fits_manifest
from u2forge.engine.pooled_engine import Answer, PooledEngine
from u2forge.engine.processor import usable_processors
from u2forge.engine.protocol import AfterNetwork, BeforeNetwork, EngineInfo, EngineOptions, Phases, Tensors
from u2forge.errors import EngineError
from u2forge.gpu.torch_network import TorchNetwork
from u2forge.graph.read_onnx import read_onnx
from u2forge.model_file.read import ModelFile
from u2forge.precision import quantized_bits
from u2forge.weights.torch_package import import_torch

# Of maps that two ways to compute a network give: twice the mean difference that each type has to float32 on photos
# (measured with the processor's reference; tensorfloat32 keeps as many bits as float16), 1e-4 where only sums are in
# another order.
_MOST_DIFFERENCE = {"float16": 0.0004, "tensorfloat32": 0.0004, "bfloat16": 0.004, "float32": 0.0001}


class CudaEngine(PooledEngine[Slot]):
    """A DeviceEngine."""

    def submit_between(
        self, arrays: Sequence[NDArray[Any]], *, before: BeforeNetwork, after: AfterNetwork
    ) -> Future[list[NDArray[Any]]]:
        """See DeviceEngine.submit_between. Raises EngineError after close."""
        return self.submit_call(lambda slot: slot.run(arrays, before, after, Phases()))


def open_cuda(model: ModelFile, options: EngineOptions) -> CudaEngine:
    """The model on a device. Raises EngineError where there is no such GPU, or it cannot do what the model needs, or
    the graph has operators that are none of ours; ModelError where the graph is not what its manifest says."""
    import_torch(where=f"engine {NAME!r}")
    start = time.perf_counter()
    device = open_device(find_device(gpu_devices(), options.device))
    arithmetic = device.arithmetic(model.manifest.precision)
    graph = read_graph(model)
    network = open_network(model, graph, device, arithmetic)
    threads = options.threads or usable_processors()
    streams = options.streams if device.is_gpu else min(options.streams, threads)
    if not device.is_gpu:
        torch.set_num_threads(max(1, threads // streams))
    info = EngineInfo(
        engine=NAME,
        version=torch.__version__,
        device=device.name,
        device_name=device.full_name,
        precision_asked=model.manifest.precision,
        precision_executed=arithmetic.name,
        precision_counts=_counts(network, arithmetic),
        threads=threads,
        streams=streams,
        inputs=model.manifest.inputs,
        outputs=model.manifest.outputs,
        opening_ms={"engine": ms_since(start)},
    )
    names = [spec.name for spec in info.outputs]
    # One slot more than streams: what it copies overlaps with what they compute.
    slots = streams + 1 if device.is_gpu else streams
    new_slot = _slot_maker(model, graph, network, device, arithmetic, options)
    return CudaEngine(info, new_slot, partial(_infer, names), requests=slots)


def read_graph(model: ModelFile) -> ir.Model:
    """The model's graph. Raises ModelError where it is not what its manifest says."""
    graph = read_onnx(model.path)
    found_inputs = [_found(value) for value in graph.graph.inputs]
    found_outputs = [_found(value) for value in graph.graph.outputs]
    check_fits_manifest(model, inputs=found_inputs, outputs=found_outputs)
    return graph


def open_network(
    model: ModelFile, graph: ir.Model, device: GpuDevice, arithmetic: Arithmetic
) -> TorchNetwork:
    """The model's graph on the device. Raises EngineError as open_cuda does."""
    try:
        # Which of cuDNN's kernels there are depends on tensorfloat32, and the network tries one.
        with library_settings(tensorfloat32=arithmetic.tensorfloat32, tries_kernels=False):
            return TorchNetwork(graph, device=device.torch_device, dtype=arithmetic.dtype).eval()
    except torch.OutOfMemoryError as error:
        raise _refused(
            model, device, "memory for the weights", error, "close what else uses the GPU"
        ) from error
    except RuntimeError as error:
        if isinstance(error, EngineError):
            raise
        fix = "install a PyTorch that is built for this GPU and its driver, or choose another engine"
        raise _refused(model, device, f"a GPU that computes in {arithmetic.name}", error, fix) from error


def _refused(model: ModelFile, device: GpuDevice, expected: str, error: Exception, fix: str) -> EngineError:
    return EngineError(
        where=f"engine {NAME!r} on {device.name}, model {model.path}",
        expected=expected,
        found=(str(error).strip().splitlines() or [type(error).__name__])[0][:300],
        fix=fix,
    )


def _slot_maker(
    model: ModelFile,
    graph: ir.Model,
    network: TorchNetwork,
    device: GpuDevice,
    arithmetic: Arithmetic,
    options: EngineOptions,
) -> Callable[[], Slot]:
    if not device.is_gpu:
        return lambda: ProcessorSlot(network)
    contenders: list[Contender] = []
    # Of a quantized model the rounding would be lost: it computes in floats, but rounds where the model says.
    if quantized_bits(model.manifest.precision) is None:
        folder = None if options.cache_folder is None else options.cache_folder / NAME
        fused = fused_contender(graph, device=device.torch_device, dtype=arithmetic.dtype, folder=folder)
        contenders += [] if fused is None else [fused]
    batches = KnownBatches()
    # Its thread ends with the last slot.
    captures = ThreadPoolExecutor(1, thread_name_prefix=f"u2forge-{NAME}-captures")
    return lambda: CudaSlot(
        network,
        device.torch_device,
        batches,
        captures=captures,
        contenders=contenders,
        most_difference=_MOST_DIFFERENCE[arithmetic.name],
        tensorfloat32=arithmetic.tensorfloat32,
    )


def _infer(names: Sequence[str], slot: Slot, inputs: Tensors, phases: Phases) -> Answer:
    def before(tensors: Sequence[torch.Tensor]) -> Mapping[str, torch.Tensor]:
        return dict(zip(inputs, tensors, strict=True))

    def after(outputs: Mapping[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        return [outputs[name] for name in names]

    return dict(zip(names, slot.run(list(inputs.values()), before, after, phases), strict=True))


def _counts(network: TorchNetwork, arithmetic: Arithmetic) -> dict[str, int]:
    """How many convolutions run in what."""
    names = {arithmetic.dtype: arithmetic.name}
    return {names.get(dtype, Arithmetic(dtype).name): count for dtype, count in network.precisions().items()}


def _found(value: Any) -> FoundTensor:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return str(value.name), str(value.dtype.numpy().name), shape
