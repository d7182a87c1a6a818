"""What a candidate of the GPU benchmark is once it is open: a network on the device, or an engine with its copies."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from u2forge.elapsed import ms_since
from u2forge.engine.cuda_slot import library_settings
from u2forge.engine.protocol import Engine, Phases
from u2forge.gpu.capture import captured_in
from u2forge.gpu.event_times import event_times_ms

Float32 = NDArray[np.float32]
# Before a capture cuDNN must have chosen its kernels, and everything compiled must be there.
_WARM_UP = 3


class Opened(Protocol):
    """depth: inferences in flight, where it is asked how many it does in a while. facts: for its row."""

    depth: int
    facts: dict[str, Any]

    def take(self, batch_nchw: Float32) -> None:
        """The pictures of the inferences to come."""
        ...

    def launch(self) -> Callable[[], object]:
        """Begins an inference, and gives what waits for its end."""
        ...

    def once(self) -> Mapping[str, float]:
        """Does one inference; the milliseconds of its parts, as far as they are known."""
        ...

    def maps(self) -> Float32:
        """(N, 1, H, W) of the pictures."""
        ...

    def close(self) -> None:
        """Lets go of its memory."""
        ...


class OpenedNetwork:
    """A network whose pictures lie on the device."""

    depth = 8

    def __init__(
        self, run: Callable[[], torch.Tensor], pictures: torch.Tensor, settings: Settings | None = None
    ) -> None:
        """run: reads `pictures`, always the same memory. settings: None where kernels are chosen already."""
        self.facts: dict[str, Any] = {}
        self._run: Callable[[], torch.Tensor] | None = run
        self._pictures = pictures
        self._settings = settings
        self._on_gpu = pictures.device.type == "cuda"

    def take(self, batch_nchw: Float32) -> None:
        """See Opened."""
        with torch.inference_mode():
            self._pictures.copy_(torch.from_numpy(batch_nchw))

    def launch(self) -> Callable[[], object]:
        """See Opened."""
        if not self._on_gpu:
            self._computed()
            return lambda: None
        end = torch.cuda.Event()
        self._computed()
        end.record()
        return end.synchronize

    def once(self) -> Mapping[str, float]:
        """See Opened. device: from its first kernel to its last, by CUDA's events."""
        if not self._on_gpu:
            start = time.perf_counter()
            self._computed()
            return {"device": ms_since(start)}
        return {"device": event_times_ms(self._computed, repeats=1)[0]}

    def maps(self) -> Float32:
        """See Opened."""
        found: Float32 = self._computed().float().cpu().numpy()
        return found

    def close(self) -> None:
        """See Opened."""
        self._run = None

    def _computed(self) -> torch.Tensor:
        assert self._run is not None
        if self._settings is None:
            with torch.inference_mode():
                return self._run()
        with torch.inference_mode(), self._settings():
            return self._run()


Settings = Callable[[], AbstractContextManager[object]]


def cudnn_settings(*, tensorfloat32: bool, tries_kernels: bool) -> Settings:
    """The product's own switch of cuDNN's settings, entered anew for each inference."""
    return lambda: library_settings(tensorfloat32=tensorfloat32, tries_kernels=tries_kernels)


class CaptureMemory:
    """Memory that captured networks share, as they run one after the other; a new one where none of them is left."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._handle: Any = None
        self._graphs: list[weakref.ref[torch.cuda.CUDAGraph]] = []

    def captured(self, run: Callable[[], torch.Tensor], settings: Settings) -> Callable[[], torch.Tensor]:
        """The same in one launch."""
        if self._handle is None or not any(graph() is not None for graph in self._graphs):
            self._handle, self._graphs = torch.cuda.graph_pool_handle(), []
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), settings():
            for _ in range(_WARM_UP):
                run()
            torch.cuda.synchronize()
            try:
                with captured_in(graph, self._device, self._handle):
                    result = run()
            except BaseException:
                self._handle = None  # what a broken capture leaves there is nobody's
                raise
        self._graphs.append(weakref.ref(graph))
        return partial(_replayed, graph, result, run)


def _replayed(graph: torch.cuda.CUDAGraph, result: torch.Tensor, _: object) -> torch.Tensor:
    """The last argument is what was captured: a graph knows addresses only, and does not keep that memory."""
    graph.replay()
    return result


class OpenedEngine:
    """One of the product's engines, as its users have it: arrays in, arrays out."""

    def __init__(self, engine: Engine, *, depth: int) -> None:
        self.depth = depth
        self.facts: dict[str, Any] = {"executed": engine.info.precision_executed}
        self._engine = engine
        self._input, self._output = engine.info.inputs[0].name, engine.info.outputs[0].name
        self._pictures: dict[str, Float32] = {}

    def take(self, batch_nchw: Float32) -> None:
        """See Opened."""
        self._pictures = {self._input: batch_nchw}

    def warm_up(self) -> None:
        """Batches of this size in all of its slots, again: the second one captures."""
        with logged("u2forge") as told:
            for _ in range(_WARM_UP):
                for done in [self.launch() for _ in range(self.depth)]:
                    done()
        if told:
            self.facts["said"] = list(dict.fromkeys(told))

    def launch(self) -> Callable[[], object]:
        """See Opened."""
        return self._engine.submit(self._pictures).result

    def once(self) -> Mapping[str, float]:
        """See Opened: the parts that the engine tells."""
        phases = Phases()
        self._engine.run(self._pictures, phases=phases)
        parts = {field.name.removesuffix("_ms"): getattr(phases, field.name) for field in fields(Phases)}
        return {name: value for name, value in parts.items() if value is not None}

    def maps(self) -> Float32:
        """See Opened."""
        found: Float32 = self._engine.run(self._pictures)[self._output]
        return found

    def close(self) -> None:
        """See Opened."""
        self._engine.close()


@contextmanager
def logged(logger: str) -> Iterator[list[str]]:
    """What is logged there within the block."""
    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage()[:500])

    log, listener = logging.getLogger(logger), Listener()
    level = log.level
    log.addHandler(listener)
    log.setLevel(logging.INFO)
    try:
        yield told
    finally:
        log.removeHandler(listener)
        log.setLevel(level)
