"""A placed step → what computes it with PyTorch's own operators: on any device, and the reference of our kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from u2forge.gpu.convolutions import Window, joined
from u2forge.gpu.half_pixel_resize import resized
from u2forge.gpu.placed_step import PlacedStep
from u2forge.native.plan import Kind

Run = Callable[[], None]


def library_step(step: PlacedStep) -> Run:
    """Computes the step each time that it is called."""
    compute = _COMPUTE[step.kind]

    return lambda: _store(step, compute(step))


def joined_convolution_step(step: PlacedStep) -> Run:
    """Computes a rectified convolution each time that it is called, by cuDNN's kernel that adds the bias and rectifies,
    too: a part of PyTorch for GPUs only, and not the faster one at all sizes."""
    parameters = step.parameters
    assert parameters is not None
    weight, bias = parameters.weight, parameters.bias.to(parameters.weight.dtype)
    sides = (step.dilation, step.dilation)
    window = Window(strides=(1, 1), padding=sides, dilations=sides, groups=1)

    return lambda: _store(step, joined(step.source, weight, bias, window))


def _store(step: PlacedStep, result: torch.Tensor) -> None:
    if step.residual is None:
        step.target.copy_(result)
    else:
        torch.add(result, step.residual, out=step.target)
    if step.pooled is not None:
        pool_into(step.target, step.pooled)


def pool_into(source: torch.Tensor, target: torch.Tensor) -> None:
    """Writes the 2×2 maxima; at odd sides the last row and column give theirs."""
    target.copy_(functional.max_pool2d(source, 2, ceil_mode=True))


def _convolution(step: PlacedStep) -> torch.Tensor:
    parameters = step.parameters
    assert parameters is not None
    weight, bias = parameters.weight, parameters.bias
    source = step.source.to(weight.dtype)
    if source.device.type == "cpu":
        # Few processors multiply halves; their products are exact in float32, where GPUs add them up, too.
        source, weight = source.float(), weight.float()
    padding = step.dilation * (weight.shape[2] // 2)
    found = functional.conv2d(source, weight, bias.to(weight.dtype), padding=padding, dilation=step.dilation)
    return functional.relu(found) if step.kind in (Kind.CONVOLUTION, Kind.FIRST_CONVOLUTION) else found


def _normalize(step: PlacedStep) -> torch.Tensor:
    assert step.scale is not None
    assert step.offset is not None
    pixels = step.source.float()
    return pixels / pixels.amax((1, 2, 3), keepdim=True).clamp_min(1) * step.scale + step.offset


def _resize(step: PlacedStep) -> torch.Tensor:
    return resized(step.source, step.target.shape[2:])


_COMPUTE: dict[Kind, Callable[[PlacedStep], torch.Tensor]] = {
    Kind.NORMALIZE: _normalize,
    Kind.FIRST_CONVOLUTION: _convolution,
    Kind.CONVOLUTION: _convolution,
    Kind.SIDE_CONVOLUTION: _convolution,
    Kind.POINTWISE_CONVOLUTION: _convolution,
    Kind.POOL: lambda step: functional.max_pool2d(step.source, 2, ceil_mode=True),
    Kind.RESIZE: _resize,
    Kind.RESIZE_PLANAR: _resize,
    # The other term is the residual, which every step adds.
    Kind.ADD: lambda step: step.source,
    Kind.COPY: lambda step: step.source,
    Kind.COPY_PLANAR: lambda step: step.source,
    Kind.SIGMOID: lambda step: torch.sigmoid(step.source),
}
