"""How long a call takes on a GPU, by CUDA's events: from its first kernel to its last."""

from __future__ import annotations

from collections.abc import Callable

import torch

from u2forge.gpu.capture import captured_in


def event_times_ms(call: Callable[[], object], *, repeats: int) -> list[float]:
    """Milliseconds of each of so many calls, on the current stream, one after the other."""
    times_ms = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        times_ms.append(float(begin.elapsed_time(end)))
    return times_ms


def launch_times_ms(
    call: Callable[[], object], device: torch.device, *, launches: int, repeats: int
) -> list[float]:
    """Milliseconds of one of so many calls that a captured graph does at once, as a network runs: by itself a launch
    takes longer than most kernels. Whatever the first call compiles or chooses must be done before."""
    graph = torch.cuda.CUDAGraph()
    with captured_in(graph, device):
        for _ in range(launches):
            call()
    return [each / launches for each in event_times_ms(graph.replay, repeats=repeats)]
