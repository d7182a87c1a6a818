"""What one inference at a time runs in: on a GPU a stream with its captured graphs, on a processor just the network."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from u2forge.elapsed import ms_since
from u2forge.engine.protocol import AfterNetwork, BeforeNetwork, Phases
from u2forge.gpu.capture import captured_in, working_stream
from u2forge.gpu.event_times import event_times_ms

Arrays = Sequence[NDArray[Any]]
TensorsByName = Mapping[str, torch.Tensor]
Network = Callable[[TensorsByName], dict[str, torch.Tensor]]
_Shapes = tuple[tuple[str, tuple[int, ...]], ...]

# Each captured graph of the full network holds the activations of its batch.
_KEPT_GRAPHS = 4
# cuDNN's choice of kernels, and whatever is compiled or allocated at the first call, must be done before a capture.
_WARM_UP = 3
_TIMED_REPLAYS = 15
# cuDNN's settings are those of the whole process, and one capture at a time may be under way in it.
_library = threading.Lock()

_log = logging.getLogger(__name__)


class Slot(Protocol):
    """Runs one inference at a time."""

    def run(
        self, arrays: Arrays, before: BeforeNetwork, after: AfterNetwork, phases: Phases
    ) -> list[NDArray[Any]]:
        """What `after` makes of the network's outputs, in arrays of the caller's own; phases: is filled in."""
        ...


class ProcessorSlot:
    """On the processor."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def run(
        self, arrays: Arrays, before: BeforeNetwork, after: AfterNetwork, phases: Phases
    ) -> list[NDArray[Any]]:
        """See Slot.run. Nothing is copied to and fro: all of it is compute."""
        start = time.perf_counter()
        with torch.inference_mode():
            tensors = [torch.from_numpy(np.require(array, requirements=("C", "W"))) for array in arrays]
            results = [_owned(tensor) for tensor in after(self._network(before(tensors)))]
        phases.compute_ms = ms_since(start)
        return results


@dataclass
class KnownBatches:
    """What all slots of an engine know of batches. most: the largest that the GPU's memory was found to hold, None:
    none was too large. seen: shapes that one of the slots ran as they are."""

    most: int | None = None
    seen: set[_Shapes] = field(default_factory=set)

    def lower(self, failed: int) -> None:
        """Says that a batch did not fit; from now on batches are cut in halves of it."""
        self.most = min(failed // 2, self.most or failed)
        _log.warning(
            "a batch of %d does not fit into the GPU's memory: it runs in parts of %d; a smaller --batch-size, or "
            "fewer streams, would spare the attempt",
            failed,
            self.most,
        )


class Contender(Protocol):
    """Another way to compute the same network."""

    name: str

    def network(self, batch_size: int) -> Network:
        """The network for batches of that size; it may raise whatever stands against it."""
        ...


class CudaSlot:
    """On a stream of its own of one GPU: what another slot copies or computes overlaps with it.

    The network runs as it is when a batch size comes to the engine for the first time. From the second on each slot
    captures it in a CUDA graph, and replays that: the network itself, or the contender that gives the same maps and was
    measured to be faster on this GPU. Arrays go and come through pinned memory.
    """

    def __init__(
        self,
        network: Network,
        device: torch.device,
        batches: KnownBatches,
        *,
        captures: Executor,
        contenders: Sequence[Contender] = (),
        most_difference: float,
        tensorfloat32: bool,
    ) -> None:
        """captures: one thread in which nothing runs but captures. cuDNN keeps, for each thread, the kernel that a
        shape ran on first; where it ran without trying them, none would be tried any more.
        most_difference: of a contender's outputs to the network's, on average."""
        self._network = network
        self._contenders = contenders
        self._most_difference = most_difference
        self._device = device
        self._batches = batches
        self._captures = captures
        self._tensorfloat32 = tensorfloat32
        self._stream = working_stream(device)
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: OrderedDict[_Shapes, _CapturedGraph] = OrderedDict()

    def run(
        self, arrays: Arrays, before: BeforeNetwork, after: AfterNetwork, phases: Phases
    ) -> list[NDArray[Any]]:
        """See Slot.run. Times but enqueue are the device's own, by its events."""
        try:
            return self._run(arrays, before, after, phases)
        except torch.OutOfMemoryError:
            # Of what lies around the network, too: what captured graphs hold may be what is missing.
            self._forget_graphs()
        return self._run(arrays, before, after, phases)

    def _run(
        self, arrays: Arrays, before: BeforeNetwork, after: AfterNetwork, phases: Phases
    ) -> list[NDArray[Any]]:
        moments = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        with torch.inference_mode(), torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            pinned = [_pinned_copy(array) for array in arrays]
            start = time.perf_counter()
            moments[0].record()
            copied = [tensor.to(self._device, non_blocking=True) for tensor in pinned]
            moments[1].record()
            results = after(self._computed(before(copied)))
            moments[2].record()
            answers = [_to_pinned(tensor) for tensor in results]
            moments[3].record()
            phases.enqueue_ms = ms_since(start)
            moments[3].synchronize()
        phases.host_to_device_ms, phases.compute_ms, phases.device_to_host_ms = (
            first.elapsed_time(second) for first, second in pairwise(moments)
        )
        # The pinned memory is the caller's now: PyTorch gives it out again when the array has gone.
        return [answer.numpy() for answer in answers]

    def _computed(self, inputs: TensorsByName) -> TensorsByName:
        """The network's outputs, of parts of the batch where the memory holds no more."""
        count = min(len(tensor) for tensor in inputs.values())
        while True:
            most = min(self._batches.most or count, count)
            try:
                return self._computed_in_parts(inputs, count, most)
            except torch.OutOfMemoryError:
                if most == 1:
                    raise
                self._forget_graphs()
                self._batches.lower(most)

    def _forget_graphs(self) -> None:
        """Gives back the memory that they hold; a batch size that comes again is a new one."""
        self._graphs.clear()
        self._batches.seen.clear()
        # Not while another slot captures: freeing waits for the whole GPU, which is an error then.
        with _library:
            torch.cuda.empty_cache()

    def _computed_in_parts(self, inputs: TensorsByName, count: int, most: int) -> TensorsByName:
        if most >= count:
            return self._captured(inputs)
        parts = []
        for start in range(0, count, most):
            part = self._captured({name: tensor[start : start + most] for name, tensor in inputs.items()})
            # The next part overwrites what a captured graph gave.
            parts.append({name: tensor.clone() for name, tensor in part.items()})
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _captured(self, inputs: TensorsByName) -> TensorsByName:
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in inputs.items())
        graph = self._graphs.get(shapes)
        if graph is None and shapes not in self._batches.seen:
            # A batch that comes only once, as the last of a folder does, is not worth a capture.
            self._batches.seen.add(shapes)
            with library_settings(tensorfloat32=self._tensorfloat32, tries_kernels=False):
                return self._network(inputs)
        if graph is None:
            while len(self._graphs) >= _KEPT_GRAPHS:
                self._graphs.popitem(last=False)
            graph = self._captures.submit(self._newly_captured, inputs).result()
            self._graphs[shapes] = graph
        self._graphs.move_to_end(shapes)
        return graph.replay(inputs)

    def _newly_captured(self, inputs: TensorsByName) -> _CapturedGraph:
        with (
            torch.inference_mode(),
            torch.cuda.device(self._device),
            torch.cuda.stream(self._stream),
            library_settings(tensorfloat32=self._tensorfloat32, tries_kernels=True),
        ):
            return self._fastest_graph(inputs)

    def _fastest_graph(self, inputs: TensorsByName) -> _CapturedGraph:
        graph = self._capture(self._network, inputs)
        count = min(len(tensor) for tensor in inputs.values())
        for contender in self._contenders:
            try:
                other = self._capture(contender.network(count), inputs)
            except Exception as error:  # compilers and drivers raise whatever they like
                _log.warning("batches of %d run without %s: %s", count, contender.name, error)
                torch.cuda.empty_cache()
                continue
            difference = _mean_difference(graph.replay(inputs), other.replay(inputs))
            # NaN is no agreement.
            if not difference <= self._most_difference:
                _log.warning(
                    "batches of %d run without %s: their outputs differ by %.5f on average, more than %.5f",
                    count,
                    contender.name,
                    difference,
                    self._most_difference,
                )
                continue
            network_ms, contender_ms = graph.milliseconds(), other.milliseconds()
            _log.info(
                "batches of %d: %.3f ms, with %s %.3f ms", count, network_ms, contender.name, contender_ms
            )
            if contender_ms < network_ms:
                graph = other
        return graph

    def _capture(self, network: Network, inputs: TensorsByName) -> _CapturedGraph:
        try:
            return _CapturedGraph(network, inputs, self._device, self._pool)
        except BaseException:
            # PyTorch may count a broken capture as one that goes on, and begins no other in its memory.
            self._pool = torch.cuda.graph_pool_handle()
            raise


class _CapturedGraph:
    """The network on inputs of fixed shapes, as one launch. Its outputs are overwritten by the next replay."""

    def __init__(self, network: Network, inputs: TensorsByName, device: torch.device, pool: Any) -> None:
        # A graph knows addresses only: the network's own memory must not go to others while it may be replayed.
        self._network = network
        self._inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        for _ in range(_WARM_UP):
            network(self._inputs)
        self._graph = torch.cuda.CUDAGraph()
        with captured_in(self._graph, device, pool):
            self._outputs = network(self._inputs)

    def replay(self, inputs: TensorsByName) -> TensorsByName:
        for name, tensor in inputs.items():
            self._inputs[name].copy_(tensor, non_blocking=True)
        self._graph.replay()
        return self._outputs

    def milliseconds(self) -> float:
        """The median time of a replay, on the device's own clock."""
        return float(median(event_times_ms(self._graph.replay, repeats=_TIMED_REPLAYS)))


def _mean_difference(one: TensorsByName, other: TensorsByName) -> float:
    """The largest mean of differences of any output."""
    return max(float((one[name] - other[name]).abs().mean()) for name in one)


@contextmanager
def library_settings(*, tensorfloat32: bool, tries_kernels: bool) -> Iterator[None]:
    """cuDNN's settings within the block, which one thread at a time is in. tries_kernels: it times its kernels for each
    new shape, and keeps the fastest."""
    with (
        _library,
        torch.backends.cudnn.flags(
            enabled=True, benchmark=tries_kernels, deterministic=False, allow_tf32=tensorfloat32
        ),
    ):
        yield


def _pinned_copy(array: NDArray[Any]) -> torch.Tensor:
    dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
    pinned = torch.empty(array.shape, dtype=dtype, pin_memory=True)
    np.copyto(pinned.numpy(), array)
    return pinned


def _to_pinned(tensor: torch.Tensor) -> torch.Tensor:
    pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return pinned.copy_(tensor, non_blocking=True)


def _owned(tensor: torch.Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.contiguous().numpy().copy()
    return array
