"""A lowered network's buffers and steps → tensors on a device, and steps that know which of them they read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from u2forge.gpu.convolution_parameters import ConvolutionParameters, convolution_parameters
from u2forge.gpu.shared_memory import shared_memory
from u2forge.native.lower import Lowered
from u2forge.native.plan import GROUP, Buffer, Kind, Layout, View


@dataclass(frozen=True, eq=False)
class PlacedStep:
    """One step. All tensors have the shape (N, C, H, W), whatever their strides: a blocked one lies as (N, H, W, C),
    and may be some channels of a wider buffer. scale, offset: (3, 1, 1), of a normalization only."""

    kind: Kind
    name: str
    source: torch.Tensor
    target: torch.Tensor
    residual: torch.Tensor | None = None
    pooled: torch.Tensor | None = None
    dilation: int = 1
    parameters: ConvolutionParameters | None = None
    scale: torch.Tensor | None = None
    offset: torch.Tensor | None = None

    @property
    def shape(self) -> str:
        """All that its time depends on, in words: steps of one shape can use one kernel."""
        parts = [
            f"{self.kind.name.lower()} {_size(self.source)} of {self.source.stride(3)}"
            f" -> {_size(self.target)} of {self.target.stride(3)}"
        ]
        if self.dilation != 1:
            parts.append(f"dilation {self.dilation}")
        if self.residual is not None:
            parts.append(f"adds of {self.residual.stride(3)}")
        if self.pooled is not None:
            parts.append(f"pools to {self.pooled.stride(3)}")
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class PlacedNetwork:
    """steps in order. inputs, outputs: the model's, float32 (N, C, H, W), or uint8 (N, H, W, 3) pixels."""

    steps: tuple[PlacedStep, ...]
    inputs: tuple[torch.Tensor, ...]
    outputs: tuple[torch.Tensor, ...]


def placed_network(
    lowered: Lowered, *, device: torch.device, dtype: torch.dtype, batch_size: int
) -> PlacedNetwork:
    """Buffers, allocated once and for all, and the steps on them. dtype: of blocked buffers and of the products."""
    buffers = _allocated(lowered, device, dtype, batch_size)

    def seen(view: View) -> torch.Tensor:
        unit = GROUP if lowered.buffers[view.buffer].layout is Layout.BLOCKED else 1
        return _channels_first(buffers[view.buffer], lowered.buffers[view.buffer]).narrow(
            1, view.first * unit, view.count * unit
        )

    steps = []
    for step, made_of in zip(lowered.steps, lowered.ingredients, strict=True):
        # Logits and their mixtures stay float32: few channels, and the map is theirs.
        products = torch.float32 if step.kind is Kind.POINTWISE_CONVOLUTION else dtype
        normalization = made_of.normalization
        steps.append(
            PlacedStep(
                step.kind,
                step.name,
                source=seen(step.source),
                target=seen(step.target),
                residual=None if step.residual is None else seen(step.residual),
                pooled=None if step.pooled is None else seen(step.pooled),
                dilation=step.dilation,
                parameters=None
                if made_of.weights is None
                else convolution_parameters(step.kind, made_of, device=device, dtype=products),
                scale=None if normalization is None else _by_channel(normalization.scale, device),
                offset=None if normalization is None else _by_channel(normalization.offset, device),
            )
        )
    return PlacedNetwork(
        tuple(steps),
        _ordered(buffers, [buffer.input_index for buffer in lowered.buffers]),
        _ordered(buffers, [buffer.output_index for buffer in lowered.buffers]),
    )


def _allocated(
    lowered: Lowered, device: torch.device, dtype: torch.dtype, batch_size: int
) -> list[torch.Tensor]:
    forms = [_form(buffer, dtype, batch_size) for buffer in lowered.buffers]
    sizes = [math.prod(shape) * kind.itemsize for shape, kind in forms]
    shared = shared_memory(lowered.buffers, lowered.steps, sizes)
    blocks = [torch.zeros(size, dtype=torch.uint8, device=device) for size in shared.sizes]
    return [
        blocks[block][:size].view(kind).view(shape)
        for (shape, kind), size, block in zip(forms, sizes, shared.blocks, strict=True)
    ]


def _form(buffer: Buffer, dtype: torch.dtype, batch_size: int) -> tuple[tuple[int, ...], torch.dtype]:
    """A buffer's shape and type."""
    size = (buffer.height, buffer.width)
    if buffer.layout is Layout.PLANAR:
        return (batch_size, buffer.count, *size), torch.float32
    if buffer.layout is Layout.PIXELS:
        return (batch_size, *size, buffer.count), torch.uint8
    return (batch_size, *size, buffer.count * GROUP), dtype


def _channels_first(tensor: torch.Tensor, buffer: Buffer) -> torch.Tensor:
    return tensor if buffer.layout is Layout.PLANAR else tensor.permute(0, 3, 1, 2)


def _by_channel(array: object, device: torch.device) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float32, device=device).reshape(-1, 1, 1)


def _ordered(buffers: Sequence[torch.Tensor], indices: Sequence[int | None]) -> tuple[torch.Tensor, ...]:
    """The buffers that have an index, by it."""
    found = {index: buffer for index, buffer in zip(indices, buffers, strict=True) if index is not None}
    return tuple(found[index] for index in sorted(found))


def _size(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape))
