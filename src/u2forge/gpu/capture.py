"""Capturing in a CUDA graph while other threads use the GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch


@cache
def capture_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of all captures on a GPU, and of nothing else.

    PyTorch notes on its streams where pinned memory was used when that is let go of, in whatever thread. On a stream
    that captures the note would belong to the graph, and to ask for it is an error.
    """
    return torch.cuda.Stream(device)


def working_stream(device: torch.device) -> torch.cuda.Stream:
    """A stream that nothing is captured on. PyTorch has 32 and hands them out in turn, that of captures too."""
    stream = torch.cuda.Stream(device)
    return torch.cuda.Stream(device) if stream == capture_stream(device) else stream


@contextmanager
def captured_in(graph: torch.cuda.CUDAGraph, device: torch.device, pool: Any = None) -> Iterator[None]:
    """Captures what the block launches; one capture at a time. pool: memory that graphs share which never run at once.

    What ran before on the current stream is done by then. Other threads may allocate meanwhile.
    """
    with torch.cuda.graph(graph, pool=pool, stream=capture_stream(device), capture_error_mode="thread_local"):
        yield
