"""How long each operation of the engine cuda takes on its device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial

import torch

from u2forge.engine.cuda_device import Arithmetic, find_device, gpu_devices, open_device
from u2forge.engine.cuda_engine import open_network, read_graph
from u2forge.engine.cuda_slot import library_settings
from u2forge.engine.layer_time import LayerTime
from u2forge.engine.protocol import EngineOptions, Tensors
from u2forge.gpu.event_times import launch_times_ms
from u2forge.gpu.torch_network import Operation
from u2forge.model_file.read import ModelFile

# In one captured graph: launching it takes as long as a small kernel.
_CALLS = 10
_WARM_UP = 3

Call = Callable[[], torch.Tensor]


def profile_cuda(
    model: ModelFile, options: EngineOptions, inputs: Tensors, *, inferences: int
) -> list[LayerTime]:
    """The operations in their order, on PyTorch's kernels, each timed by itself on what the ones before it gave: on a
    GPU without the gaps between kernels. Raises EngineError as open_cuda does."""
    device = open_device(find_device(gpu_devices(), options.device))
    arithmetic = device.arithmetic(model.manifest.precision)
    network = open_network(model, read_graph(model), device, arithmetic)
    timed = partial(_timed_on_gpu, device.torch_device) if device.is_gpu else _timed_on_processor
    tensors = {name: torch.tensor(array, device=device.torch_device) for name, array in inputs.items()}
    current = torch.cuda.device(device.torch_device) if device.is_gpu else nullcontext()
    with (
        current,
        torch.inference_mode(),
        library_settings(tensorfloat32=arithmetic.tensorfloat32, tries_kernels=True),
    ):
        return list(_layer_times(network.walk(tensors), timed, inferences, arithmetic))


def _layer_times(
    walk: Iterable[tuple[Operation, Call]],
    timed: Callable[[Call, int], list[float]],
    inferences: int,
    arithmetic: Arithmetic,
) -> Iterator[LayerTime]:
    for operation, call in walk:
        times_ms = timed(call, inferences)
        yield LayerTime(
            name=operation.name,
            operator=operation.operator,
            kernel="cudnn" if operation.operator == "Conv" else "torch",
            precision=_precision(operation, arithmetic),
            ms=sum(times_ms) / len(times_ms),
            best_ms=min(times_ms),
        )


def _precision(operation: Operation, arithmetic: Arithmetic) -> str:
    dtype = operation.precision
    if dtype is None:
        return arithmetic.name
    return arithmetic.name if dtype is arithmetic.dtype else Arithmetic(dtype).name


def _timed_on_processor(call: Call, inferences: int) -> list[float]:
    times_ms = []
    for _ in range(inferences):
        start = time.perf_counter()
        call()
        times_ms.append((time.perf_counter() - start) * 1000)
    return times_ms


def _timed_on_gpu(device: torch.device, call: Call, inferences: int) -> list[float]:
    for _ in range(_WARM_UP):
        call()
    # The first replay is not counted.
    return launch_times_ms(call, device, launches=_CALLS, repeats=1 + inferences)[1:]
