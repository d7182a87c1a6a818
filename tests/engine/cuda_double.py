"""A double of the part of torch.cuda that the engine uses, on tensors of the processor.

A captured graph is what CUDA's is: the operations of the capture, on the memory that they had then, done again at each
replay. It does not see a value that is read on the host, which CUDA would refuse. Events tell a clock that counts
operations.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from u2forge.gpu.capture import capture_stream


class CudaDouble:
    """What happened. log: captures, replays, copies to pinned memory, in order. captured_in: the threads of captures;
    worked_on: streams that were current; broken: memory of captures that failed."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.clock = 0.0
        self.settings: list[dict[str, Any]] = []
        self.captured_in: list[int] = []
        self.worked_on: list[Any] = []
        self.broken: list[Any] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        double = self

        class Event:
            def __init__(self, enable_timing: bool = False) -> None:
                assert enable_timing
                self.at: float | None = None

            def record(self) -> None:
                double.clock += 1
                self.at = double.clock

            def synchronize(self) -> None:
                assert self.at is not None

            def elapsed_time(self, other: Event) -> float:
                assert self.at is not None
                assert other.at is not None
                return other.at - self.at

        class Stream:
            def __init__(self, device: torch.device) -> None:
                self.device = device

        class CUDAGraph:
            def __init__(self) -> None:
                self.operations: list[tuple[Any, Any, Any, Any]] | None = None

            def replay(self) -> None:
                assert self.operations is not None, "replayed before it was captured"
                double.log.append("replay")
                for function, arguments, named, result in self.operations:
                    double.clock += 1
                    _write(function(*arguments, **named), result)

        @contextmanager
        def graph(
            cuda_graph: CUDAGraph, pool: Any = None, stream: Any = None, capture_error_mode: str = "global"
        ) -> Iterator[None]:
            # CUDA refuses what other threads do to a GPU meanwhile, else, and what they note on that stream.
            assert capture_error_mode == "thread_local"
            assert isinstance(stream, Stream)
            assert stream not in double.worked_on
            double.log.append("capture")
            double.captured_in.append(threading.get_ident())
            assert pool not in double.broken
            double.broken.append(pool)
            operations: list[tuple[Any, Any, Any, Any]] = []
            with _Recording(operations):
                yield
            double.broken.remove(pool)
            cuda_graph.operations = operations

        @contextmanager
        def current(stream: Stream) -> Iterator[None]:
            double.worked_on.append(stream)
            yield

        @contextmanager
        def nothing(*_: Any) -> Iterator[None]:
            yield

        @contextmanager
        def flags(**given: Any) -> Iterator[None]:
            double.settings.append(given)
            yield

        empty = torch.empty

        def empty_pinned(*sizes: Any, pin_memory: bool = False, **named: Any) -> torch.Tensor:
            if pin_memory:
                double.log.append("pinned")
            return empty(*sizes, **named)

        for name, value in {
            "Event": Event,
            "Stream": Stream,
            "CUDAGraph": CUDAGraph,
            "graph": graph,
            "device": nothing,
            "stream": current,
            "graph_pool_handle": object,
            "empty_cache": lambda: double.log.append("empty cache"),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        # It keeps a stream for the process's life.
        capture_stream.cache_clear()
        monkeypatch.setattr(torch.backends.cudnn, "flags", flags)
        monkeypatch.setattr(torch, "empty", empty_pinned)


class _Recording(TorchDispatchMode):
    """What a capture sees: each operation, done at once here, and noted to be done again."""

    def __init__(self, operations: list[tuple[Any, Any, Any, Any]]) -> None:
        super().__init__()
        self._operations = operations

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        result = function(*arguments, **(named or {}))
        self._operations.append((function, arguments, named or {}, result))
        return result


def _write(found: Any, place: Any) -> None:
    """The new result in the memory of the old one."""
    if isinstance(place, torch.Tensor):
        if found.data_ptr() != place.data_ptr():
            place.copy_(found)
    elif isinstance(place, list | tuple):
        for new, old in zip(found, place, strict=True):
            _write(new, old)
