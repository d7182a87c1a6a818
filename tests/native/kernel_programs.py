"""Programs of few steps for the kernels, built by hand: numbers in, one step or two, numbers out as the kernels left
them. Weights are packed here a second time, from the text of the layout, so that packers are not tested by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.native.encode import encoded_buffers, encoded_steps
from u2forge.native.int16_scales import INPUT_SHIFT, WEIGHT_FACTORS
from u2forge.native.plan import GROUP, Algorithm, Buffer, Kind, Layout, Offsets, Plan, Step, View

Floats = NDArray[np.float32]
LEVELS = 4095
# Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), F(4×4, 3×3); and F(6×6, 3×3)
# by the same construction.
G = {
    Algorithm.WINOGRAD: np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]])
    / 24,
    Algorithm.WINOGRAD_6X6: np.array(
        [
            [90, 0, 0],
            [-20, -20, -20],
            [-20, 20, -20],
            [1, 2, 4],
            [1, -2, 4],
            [64, 32, 16],
            [64, -32, 16],
            [0, 0, 90],
        ]
    )
    / 90,
}


def groups(channels: int) -> int:
    return -(-channels // GROUP)


@dataclass(frozen=True)
class Tensor:
    """A view that was written, and how many of its channels are real."""

    view: View
    channels: int


class Program:
    """Steps as they are added; `run` executes them."""

    def __init__(self, precision: str) -> None:
        self.precision = precision
        self.buffers: list[Buffer] = []
        self.steps: list[Step] = []
        self._weights = bytearray()
        self._inputs = self._outputs = 0

    # What is read and written.

    def buffer(self, layout: Layout, count: int, size: tuple[int, int], **index: int) -> int:
        self.buffers.append(Buffer(layout, count, *size, **index))
        return len(self.buffers) - 1

    def input(self, channels: int, size: tuple[int, int], layout: Layout = Layout.PLANAR) -> Tensor:
        number = self.buffer(layout, channels, size, input_index=self._inputs)
        self._inputs += 1
        return Tensor(View(number, 0, channels), channels)

    def place(self, channels: int, size: tuple[int, int], *, before: int = 0, behind: int = 0) -> Tensor:
        """Room in a blocked buffer, with groups before and behind that nobody writes."""
        number = self.buffer(Layout.BLOCKED, before + groups(channels) + behind, size)
        return Tensor(View(number, before, groups(channels)), channels)

    def planar_place(self, channels: int, size: tuple[int, int]) -> Tensor:
        return Tensor(View(self.buffer(Layout.PLANAR, channels, size), 0, channels), channels)

    def size(self, tensor: Tensor) -> tuple[int, int]:
        buffer = self.buffers[tensor.view.buffer]
        return buffer.height, buffer.width

    def blocked_input(
        self, channels: int, size: tuple[int, int], *, before: int = 0, behind: int = 0
    ) -> Tensor:
        """An input, copied as it is to a blocked buffer: a first convolution with one tap of 1."""
        given, target = self.input(channels, size), self.place(channels, size, before=before, behind=behind)
        for group in range(target.view.count):
            first = group * GROUP
            count = min(GROUP, channels - first)
            identity = np.zeros((9, count, GROUP), np.float32)
            identity[4] = np.eye(count, GROUP)
            self.add(
                Kind.FIRST_CONVOLUTION,
                View(given.view.buffer, first, count),
                View(target.view.buffer, target.view.first + group, 1),
                weights=identity,
                addend=np.zeros(GROUP, np.float32),
            )
        return target

    def show(self, tensor: Tensor) -> None:
        """Makes an output of it: blocked channels by a side convolution with one tap of 1."""
        size = self.size(tensor)
        number = self.buffer(Layout.PLANAR, tensor.channels, size, output_index=self._outputs)
        self._outputs += 1
        if self.buffers[tensor.view.buffer].layout is Layout.PLANAR:
            self.add(Kind.COPY_PLANAR, tensor.view, View(number, 0, tensor.channels))
            return
        for group in range(tensor.view.count):
            first = group * GROUP
            count = min(GROUP, tensor.channels - first)
            identity = np.zeros((count, 9, GROUP), np.float32)
            identity[:, 4] = np.eye(count, GROUP)
            self.add(
                Kind.SIDE_CONVOLUTION,
                View(tensor.view.buffer, tensor.view.first + group, 1),
                View(number, first, count),
                weights=identity,
                addend=np.zeros(count, np.float32),
            )

    # Steps.

    def add(
        self, kind: Kind, source: View, target: View, *, more: dict[str, Any] | None = None, **arrays: Any
    ) -> None:
        offsets = Offsets(**{name: self._put(array) for name, array in arrays.items() if array is not None})
        self.steps.append(replace(Step(kind, "", source, target, offsets=offsets), **(more or {})))

    def _put(self, array: NDArray[Any]) -> int:
        self._weights.extend(bytes(-len(self._weights) % 4096))
        offset = len(self._weights)
        self._weights.extend(np.ascontiguousarray(array).tobytes())
        return offset

    def convolution(
        self,
        source: Tensor,
        target: Tensor,
        weight: Floats,
        bias: Floats,
        *,
        dilation: int = 1,
        algorithm: Algorithm = Algorithm.WINOGRAD,
        residual: Tensor | None = None,
        pooled: Tensor | None = None,
        output_scale: float = 1.0,
        largest: bool = False,
    ) -> dict[str, Any]:
        """The arrays that it packed. Of int16: output_scale: levels of the target for one level of the sum; largest:
        weights of the full range, so that sums may leave 32 bits."""
        taps = _padded(weight, target.view.count * GROUP, source.view.count * GROUP)
        winograd = algorithm is not Algorithm.DIRECT
        factors = _transformed(taps, G[algorithm]) if winograd else taps.transpose(2, 1, 0)
        outputs = target.view.count * GROUP
        more: dict[str, Any] = {
            "dilation": dilation,
            "algorithm": algorithm,
            "residual": residual and residual.view,
            "pooled": pooled and pooled.view,
        }
        multiplier = residual_multiplier = None
        addend = np.zeros(outputs, np.float32)
        addend[: len(bias)] = bias
        if self.precision == "int16":
            if winograd:
                factors = (
                    factors * np.outer(WEIGHT_FACTORS, WEIGHT_FACTORS).reshape(36, 1, 1) * 2**INPUT_SHIFT
                )
            scale, more["eight_pairs"] = _integer_scale(factors, winograd=winograd, largest=largest)
            packed = _in_blocks(np.rint(factors * scale).astype(np.int16), 2)
            multiplier = (output_scale / scale).astype(np.float32)
            residual_multiplier = np.ones(outputs, np.float32) if residual else None
        elif self.precision == "bfloat16":
            packed = _in_blocks(bfloat16_bits(factors.astype(np.float32)), 2)
        else:
            packed = _in_blocks(factors.astype(np.float32), 1)
        arrays: dict[str, Any] = {
            "weights": packed,
            "addend": addend,
            "multiplier": multiplier,
            "residual_multiplier": residual_multiplier,
        }
        self.add(Kind.CONVOLUTION, source.view, target.view, more=more, **arrays)
        return arrays

    # Execution.

    def tables(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        plan = Plan(self.precision, tuple(self.buffers), tuple(self.steps))
        return encoded_buffers(plan), encoded_steps(plan)

    def weights(self) -> NDArray[np.uint8]:
        """At an address that is a multiple of 64."""
        room = np.empty(len(self._weights) + 64, np.uint8)
        start = -room.ctypes.data % 64
        array = room[start : start + len(self._weights)]
        array[:] = np.frombuffer(self._weights, np.uint8)
        return array

    def outputs(self, batch: int) -> list[Floats]:
        shapes = sorted(
            (b.output_index, b.count, b.height, b.width) for b in self.buffers if b.output_index is not None
        )
        return [np.full((batch, *shape), np.nan, np.float32) for _, *shape in shapes]


def _padded(weight: Floats, outputs: int, inputs: int) -> NDArray[np.float64]:
    """(outputs, inputs, 9), of whole groups."""
    taps = np.zeros((outputs, inputs, 9))
    taps[: weight.shape[0], : weight.shape[1]] = weight.reshape(*weight.shape[:2], 9)
    return taps


def _transformed(taps: NDArray[np.float64], g: NDArray[np.float64]) -> NDArray[np.float64]:
    """(36 or 64, inputs, outputs): G w Gᵀ, rows first."""
    square = taps.reshape(*taps.shape[:2], 3, 3)
    transformed: NDArray[np.float64] = (g @ square @ g.T).reshape(*taps.shape[:2], -1)
    return np.transpose(transformed, (2, 1, 0))


def _in_blocks(factors: NDArray[Any], unit: int) -> NDArray[Any]:
    """Blocks of 64, 32, 16 output channels; in each (positions, inputs / unit, outputs, unit)."""
    positions, inputs, outputs = factors.shape
    blocks, first = [], 0
    while first < outputs:
        width = next(w for w in (64, 32, 16) if outputs - first >= w)
        block = factors[:, :, first : first + width].reshape(positions, inputs // unit, unit, width)
        blocks.append(block.swapaxes(2, 3).ravel())
        first += width
    return np.concatenate(blocks)


def bfloat16_bits(numbers: Floats) -> NDArray[np.uint16]:
    bits = numbers.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _integer_scale(
    factors: NDArray[np.float64], *, winograd: bool, largest: bool
) -> tuple[NDArray[np.float64], int]:
    """The scale of each output channel's weights; eight_pairs of Step."""
    operand = 32768 if winograd else LEVELS
    scale = 32767 / np.maximum(np.abs(factors).max((0, 1)), 1e-30)
    if not largest:
        # All channels alike, at their highest; or each a noise of half of that, at five deviations. A direct
        # convolution's taps go into one sum.
        alike, noise = np.abs(factors.sum(1)), (factors**2).sum(1)
        alike, noise = (alike.max(0), noise.max(0)) if winograd else (alike.sum(0), noise.sum(0))
        most = operand * (alike + 2.5 * np.sqrt(noise))
        scale = np.minimum(scale, 2147483647 / np.maximum(most, 1e-30))
    whole = np.abs(np.rint(factors * scale)).astype(np.int64)
    return scale, int(whole.reshape(len(whole), -1, 16, whole.shape[-1]).sum(axis=2).max())


def random_weights(generator: np.random.Generator, outputs: int, inputs: int) -> tuple[Floats, Floats]:
    weight = generator.normal(0, (1 / (9 * inputs)) ** 0.5, (outputs, inputs, 3, 3)).astype(np.float32)
    return weight, generator.normal(0, 0.2, outputs).astype(np.float32)


def random_levels(generator: np.random.Generator, shape: tuple[int, ...], highest: int = LEVELS) -> Floats:
    """Noise, or the extremes: all of it the highest, checkerboards, columns: what drives the transforms furthest."""
    y, x = np.indices(shape[-2:])
    pattern = generator.integers(6)
    if pattern == 0:
        return np.full(shape, highest, np.float32)
    if pattern == 1:
        return np.broadcast_to((x + y) % 2 * highest, shape).astype(np.float32)
    if pattern == 2:
        return np.broadcast_to(x % 2 * highest, shape).astype(np.float32)
    if pattern == 3:
        return (generator.integers(0, 2, shape) * highest).astype(np.float32)
    return generator.integers(0, highest + 1, shape).astype(np.float32)


def levels_of(precision: str) -> list[str]:
    """The instruction sets with kernels of that precision, best first."""
    from u2forge.native import _kernels

    return [
        level
        for level in _kernels.levels()
        if precision != "bfloat16" or level in ("avx512_vnni_bf16", "portable")
    ]


def results(program: Program, *inputs: NDArray[Any]) -> dict[str, list[Floats]]:
    """The outputs at each level, each from some threads, fresh and poisoned."""
    from u2forge.native import _kernels

    batch, found = len(inputs[0]), {}
    runnable = _kernels.Program(program.precision, *program.tables(), program.weights())
    for threads, level in enumerate(levels_of(program.precision), 1):
        session = runnable.session(threads, level)
        outputs, again = program.outputs(batch), program.outputs(batch)
        session.run(list(inputs), outputs)
        session.poison()
        session.run(list(inputs), again)
        for first, second in zip(outputs, again, strict=True):
            np.testing.assert_array_equal(
                first, second, err_msg=f"{level}: another result in poisoned memory"
            )
        found[level] = outputs
    return found
