"""Runs a lowered network in plain numpy, float32, from its unpacked weights: what the kernels must compute.

Buffers are poisoned with NaN before they are written, and each step is held to what the kernels ask of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.native.lower import Ingredients, Lowered
from u2forge.native.plan import GROUP, Algorithm, Buffer, Kind, Layout, Step, View

Array = NDArray[np.float32]


def executed(lowered: Lowered, batch: NDArray[Any]) -> list[Array]:
    """The outputs, (N, C, H, W) each, of float32 (N, C, H, W) or uint8 (N, H, W, 3)."""
    memory = _Memory(lowered.buffers, batch)
    for step, made_of in zip(lowered.steps, lowered.ingredients, strict=True):
        _check(lowered.buffers, step)
        result = _RUN[step.kind](step, made_of, memory)
        memory.write(step.target, result, over=step.residual if step.residual == step.target else None)
        if step.pooled is not None:
            memory.write(step.pooled, _pooled(result))
    return memory.outputs()


class _Memory:
    def __init__(self, buffers: Sequence[Buffer], batch: NDArray[Any]) -> None:
        self._buffers = buffers
        self._arrays = [
            np.full((len(batch), *_shape(buffer)), np.nan, np.float32)
            if buffer.input_index is None
            else np.moveaxis(batch, -1, 1)
            if buffer.layout is Layout.PIXELS
            else batch
            for buffer in buffers
        ]
        for array, buffer in zip(self._arrays, buffers, strict=True):
            assert array.shape[1:] == _shape(buffer)

    def read(self, view: View | None) -> NDArray[Any]:
        assert view is not None
        unit = _unit(self._buffers[view.buffer])
        array = self._arrays[view.buffer][:, view.first * unit : (view.first + view.count) * unit]
        assert not np.isnan(array).any(), "read before it was written"
        return array

    def size(self, view: View) -> tuple[int, int]:
        return self._buffers[view.buffer].height, self._buffers[view.buffer].width

    def write(self, view: View, array: NDArray[Any], *, over: View | None = None) -> None:
        buffer = self._buffers[view.buffer]
        assert buffer.input_index is None
        assert array.dtype == np.float32
        place = self._arrays[view.buffer][
            :, view.first * _unit(buffer) : (view.first + view.count) * _unit(buffer)
        ]
        assert place.shape == array.shape
        if over is None:
            assert np.isnan(place).all(), "written twice"
        else:
            assert not np.isnan(place).any(), "added before it was written"
        assert buffer.layout is Layout.PLANAR or (array >= 0).all()
        place[:] = array

    def outputs(self) -> list[Array]:
        numbers = sorted(
            (buffer.output_index, index)
            for index, buffer in enumerate(self._buffers)
            if buffer.output_index is not None
        )
        assert [output for output, _ in numbers] == list(range(len(numbers)))
        return [self._arrays[index] for _, index in numbers]


def _shape(buffer: Buffer) -> tuple[int, int, int]:
    return buffer.count * _unit(buffer), buffer.height, buffer.width


def _unit(buffer: Buffer) -> int:
    return GROUP if buffer.layout is Layout.BLOCKED else 1


def _check(buffers: Sequence[Buffer], step: Step) -> None:
    written = [view for view in (step.target, step.pooled) if view is not None]
    read = [view for view in (step.source, step.residual) if view is not None]
    for view in (*written, *read):
        assert 0 <= view.first < view.first + view.count <= buffers[view.buffer].count
    # A convolution may write over what it adds.
    in_place = step.kind is Kind.CONVOLUTION and step.residual == step.target
    for one in written:
        elsewhere = [view for view in read if not (in_place and view is step.residual and one is step.target)]
        for other in (*elsewhere, *(view for view in written if view is not one)):
            assert (
                one.buffer != other.buffer
                or one.first >= other.first + other.count
                or other.first >= one.first + one.count
            )
    if step.pooled is not None:
        assert step.algorithm is Algorithm.WINOGRAD
        assert step.pooled.buffer != step.target.buffer
    if step.algorithm is Algorithm.WINOGRAD:
        assert (step.kind, step.dilation) == (Kind.CONVOLUTION, 1)
    if step.residual is not None:
        assert step.kind in (Kind.CONVOLUTION, Kind.ADD)
    if step.kind is not Kind.CONVOLUTION:
        assert step.dilation == 1


def _normalize(step: Step, made_of: Ingredients, memory: _Memory) -> Array:
    assert made_of.normalization is not None
    pixels = memory.read(step.source).astype(np.float32)
    pixels /= np.maximum(pixels.max((1, 2, 3), keepdims=True), 1)
    scale, offset = (
        array.reshape(3, 1, 1) for array in (made_of.normalization.scale, made_of.normalization.offset)
    )
    return pixels * scale + offset


def _convolution(step: Step, made_of: Ingredients, memory: _Memory) -> Array:
    assert made_of.weights is not None
    source = memory.read(step.source)
    blocked = step.kind in (Kind.CONVOLUTION, Kind.SIDE_CONVOLUTION)
    weight = _physical(made_of.weights.read_weight(), made_of.input_segments, blocked=blocked)
    outputs, inputs, kernel, _ = weight.shape
    assert source.shape[1] == inputs
    assert (kernel == 3) == (step.kind is not Kind.POINTWISE_CONVOLUTION)
    border = step.dilation * (kernel // 2)
    padded = np.pad(source, ((0, 0), (0, 0), (border, border), (border, border)))
    height, width = memory.size(step.target)
    total = np.zeros((len(source), outputs, height, width), np.float32)
    for y in range(kernel):
        for x in range(kernel):
            top, left = y * step.dilation, x * step.dilation
            total += np.einsum(
                "oi,nihw->nohw",
                weight[:, :, y, x],
                padded[:, :, top : top + height, left : left + width],
                optimize=True,
            )
    total += made_of.weights.read_bias().reshape(-1, 1, 1)
    if step.kind not in (Kind.CONVOLUTION, Kind.FIRST_CONVOLUTION):
        return total
    rectified = np.pad(np.maximum(total, 0), ((0, 0), (0, -outputs % GROUP), (0, 0), (0, 0)))
    return rectified if step.residual is None else rectified + memory.read(step.residual)


def _physical(weight: Array, segments: Sequence[int], *, blocked: bool) -> Array:
    """The weights with zeros for the padding channels of each segment."""
    assert weight.shape[1] == sum(segments)
    parts = np.split(weight, np.cumsum(segments)[:-1], axis=1)
    unit = GROUP if blocked else 1
    return np.concatenate(
        [np.pad(part, ((0, 0), (0, -part.shape[1] % unit), (0, 0), (0, 0))) for part in parts], axis=1
    )


def _pooled(array: Array) -> Array:
    height, width = array.shape[2:]
    even = np.pad(
        array, ((0, 0), (0, 0), (0, height % 2), (0, width % 2)), constant_values=-np.float32(np.inf)
    )
    return np.maximum.reduce([even[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)])


def _pool(step: Step, made_of: Ingredients, memory: _Memory) -> Array:
    return _pooled(memory.read(step.source))


def _resize(step: Step, made_of: Ingredients, memory: _Memory) -> Array:
    array = memory.read(step.source)
    for axis, size in zip((2, 3), memory.size(step.target), strict=True):
        array = _resized(array, axis, size)
    return array


def _resized(array: Array, axis: int, size: int) -> Array:
    """Source: ONNX, Resize, coordinate_transformation_mode pytorch_half_pixel, mode linear."""
    length = array.shape[axis]
    at = (np.arange(size) + 0.5) * length / size - 0.5 if size > 1 else np.zeros(1)
    at = np.clip(at, 0, length - 1)
    low = np.minimum(at.astype(int), length - 1)
    share = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(4)])
    high = np.minimum(low + 1, length - 1)
    return np.take(array, low, axis) * (1 - share) + np.take(array, high, axis) * share


def _add(step: Step, made_of: Ingredients, memory: _Memory) -> Array:
    return memory.read(step.source) + memory.read(step.residual)


def _copy(step: Step, made_of: Ingredients, memory: _Memory) -> Array:
    return memory.read(step.source)


def _sigmoid(step: Step, made_of: Ingredients, memory: _Memory) -> Array:
    return 1 / (1 + np.exp(-memory.read(step.source)))


_RUN: dict[Kind, Callable[[Step, Ingredients, _Memory], Array]] = {
    Kind.NORMALIZE: _normalize,
    Kind.FIRST_CONVOLUTION: _convolution,
    Kind.CONVOLUTION: _convolution,
    Kind.SIDE_CONVOLUTION: _convolution,
    Kind.POINTWISE_CONVOLUTION: _convolution,
    Kind.POOL: _pool,
    Kind.RESIZE: _resize,
    Kind.RESIZE_PLANAR: _resize,
    Kind.ADD: _add,
    Kind.COPY: _copy,
    Kind.COPY_PLANAR: _copy,
    Kind.SIGMOID: _sigmoid,
}
