"""Times a network's alternatives on its GPU → which kernel computes each step."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch

from u2forge.errors import OutputError
from u2forge.gpu.event_times import launch_times_ms
from u2forge.gpu.fused_network import FusedNetwork, launching_on
from u2forge.gpu.kernel_choice import KernelChoice, choice_file, read_choice, write_choice
from u2forge.gpu.placed_step import PlacedStep
from u2forge.gpu.step_alternatives import JOINED, LIBRARY, step_alternatives

# Times are medians of so many replays of so many launches; a kernel must win by more than their usual spread.
_REPEATS = 5
_LAUNCHES = 10
_WORTHWHILE = 0.98

# The library rounds up to three times (sum, bias, residual), a kernel once; half a unit of the largest value each.
_ROUNDINGS = 4

_log = logging.getLogger(__name__)

Clock = Callable[[Callable[[], None]], float]


def chosen_kernels(network: FusedNetwork, folder: Path) -> KernelChoice:
    """The choice that is kept in the folder, for this GPU; else the one that is measured now, and kept."""
    path = choice_file(folder, device=network.device, dtype=network.dtype, batch_size=network.batch_size)
    kept = read_choice(path)
    shapes = {step.shape for step in network.steps}
    if kept is not None and shapes <= kept.by_shape.keys():
        return kept
    chosen = choose_kernels(network, known=kept)
    # A folder that takes no files costs time at the next opening only.
    with suppress(OutputError):
        write_choice(path, chosen)
    return chosen


def choose_kernels(
    network: FusedNetwork, *, clock: Clock | None = None, known: KernelChoice | None = None
) -> KernelChoice:
    """The fastest alternative of each shape, among those that compute what the library does. Overwrites the network's
    buffers. known: shapes that need no measuring. clock: the milliseconds that a call takes; CUDA events by default.

    A kernel that does not compile for this GPU, or computes something else, is passed over, and said so.
    """
    if clock is None and network.device.type != "cuda":
        return KernelChoice()
    clock = clock or partial(_cuda_milliseconds, network.device)
    by_shape = {} if known is None else dict(known.by_shape)
    refused: list[str] = []
    with torch.inference_mode(), launching_on(network.device):
        for step in network.steps:
            if step.shape not in by_shape:
                by_shape[step.shape] = _fastest(step, clock, refused)
    if refused and set(by_shape.values()) <= {LIBRARY, JOINED}:
        _log.warning(
            "PyTorch's kernels compute all; %d others were passed over, first %s", len(refused), refused[0]
        )
    return KernelChoice(by_shape)


def _fastest(step: PlacedStep, clock: Clock, refused: list[str]) -> str:
    """refused: is told which alternatives are passed over, and why."""
    alternatives = step_alternatives(step)
    if len(alternatives) == 1:
        return LIBRARY
    _fill(step)
    library = alternatives.pop(LIBRARY)()
    library()
    expected = [tensor.clone() for tensor in _written(step)]
    times = {LIBRARY: clock(library) * _WORTHWHILE}
    for name, prepare in alternatives.items():
        # Triton's errors have no common root: too much shared memory, registers, an old card, no C compiler.
        try:
            run = prepare()
            for tensor in _written(step):
                tensor.fill_(torch.nan)
            run()
            bound = _ROUNDINGS / 2 * _unit(step)
            agrees = all(_agrees(*pair, bound=bound) for pair in zip(_written(step), expected, strict=True))
            if agrees:
                times[name] = clock(run)
            reason = None if agrees else "it computes something else"
        except Exception as error:
            reason = str(error).strip()[:300] or type(error).__name__
        if reason is not None:
            refused.append(f"{name} for {step.shape}: {reason}")
            _log.info("a kernel is passed over, %s", refused[-1])
    return min(times, key=lambda name: times[name])


def _written(step: PlacedStep) -> list[torch.Tensor]:
    return [step.target] if step.pooled is None else [step.target, step.pooled]


def _fill(step: PlacedStep) -> None:
    """Random values for all that the step reads; blocked ones are never negative."""
    for tensor in (step.source, step.residual):
        if tensor is not None:
            tensor.copy_(torch.rand(tensor.shape, device=tensor.device))


def _unit(step: PlacedStep) -> float:
    """A unit of rounding of the coarsest type that the step computes in; of float16 where all are float32."""
    types = {torch.float16, step.target.dtype}
    if step.parameters is not None:
        types.add(step.parameters.weight.dtype)
    return max(torch.finfo(each).eps for each in types)


def _agrees(found: torch.Tensor, expected: torch.Tensor, *, bound: float) -> bool:
    """Whether both are the same within the bound, times the largest value."""
    difference = (found.float() - expected.float()).abs().max()
    return bool(difference <= bound * expected.abs().max())


def _cuda_milliseconds(device: torch.device, run: Callable[[], None]) -> float:
    run()
    return float(statistics.median(launch_times_ms(run, device, launches=_LAUNCHES, repeats=_REPEATS)))
