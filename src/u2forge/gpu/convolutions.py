"""How a convolution and the rectification behind it are computed, by device and type of its numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Window:
    """What a convolution's attributes say."""

    strides: tuple[int, ...]
    padding: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int


# (x, weight, bias, window, rectifies) → the result, in the numbers' type.
Convolve = Callable[[torch.Tensor, torch.Tensor, "torch.Tensor | None", Window, bool], torch.Tensor]


@dataclass(frozen=True)
class Convolver:
    """convolve: takes any float type in. dtype: the type that what it multiplies is rounded to; stored: the type that
    weights and biases are kept in."""

    convolve: Convolve
    dtype: torch.dtype
    stored: torch.dtype


def convolver_for(device: torch.device, dtype: torch.dtype) -> Convolver:
    """On a GPU the library's kernel for both at once, where it has one that gives the same numbers as one after the
    other (tried here); on a processor the reference."""
    if device.type != "cuda":
        return Convolver(_reference_in(dtype), dtype, torch.float32)
    fused = _fused_works(device, dtype)
    return Convolver(_fused if fused else _one_after_the_other, dtype, dtype)


def _reference_in(dtype: torch.dtype) -> Convolve:
    """What matrix units compute: products and sums of half-precision numbers in float32, rounded once at the end.

    PyTorch's own half precision on processors without it takes eight times as long, and rounds more often.
    """

    def convolve(
        x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, window: Window, rectifies: bool
    ) -> torch.Tensor:
        # The weight's values are of that type already.
        return _one_after_the_other(x.to(dtype).float(), weight, bias, window, rectifies).to(dtype)

    return convolve


def _one_after_the_other(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, window: Window, rectifies: bool
) -> torch.Tensor:
    result = F.conv2d(
        x.to(weight.dtype), weight, bias, window.strides, window.padding, window.dilations, window.groups
    )
    return torch.relu_(result) if rectifies else result


def _fused(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, window: Window, rectifies: bool
) -> torch.Tensor:
    """cuDNN's convolution, bias and rectification in one kernel, where it has one for the size: sums are rounded
    once."""
    if not rectifies:
        return _one_after_the_other(x, weight, bias, window, rectifies)
    try:
        return joined(x, weight, bias, window)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        _log.info("convolution and rectification of %s run one after the other: %s", tuple(x.shape), error)
        return _one_after_the_other(x, weight, bias, window, rectifies)


def joined(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, window: Window) -> torch.Tensor:
    """cuDNN's convolution, bias and rectification in one kernel, in the weight's type: on GPUs only. Raises
    RuntimeError where it has none for the size."""
    result: torch.Tensor = torch.ops.aten.cudnn_convolution_relu(
        x.to(weight.dtype), weight, bias, window.strides, window.padding, window.dilations, window.groups
    )
    return result


def _fused_works(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether cuDNN has the fused kernel for that type on that GPU, and it computes what the two do."""
    window = Window((1, 1), (2, 2), (2, 2), 1)
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 16, 12, 12), (32, 16, 3, 3), (32,))
    x, weight, bias = (torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes)
    x = x.contiguous(memory_format=torch.channels_last)
    weight = weight.contiguous(memory_format=torch.channels_last)
    try:
        found = joined(x, weight, bias, window)
        expected = _one_after_the_other(x.float(), weight.float(), bias.float(), window, True)
    except RuntimeError as error:
        _log.info("convolution and rectification run one after the other: %s", error)
        return False
    # Of sums of 144 products of normal numbers, about 12 in size, rounded to the type.
    limit = 32 * torch.finfo(dtype).eps if dtype is not torch.float32 else 0.05
    return bool((found.float() - expected).abs().max() <= limit)
