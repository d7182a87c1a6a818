"""Random graphs of the operators that the native engine runs, wired in ways that no U²-Net is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

_CHANNELS = (1, 3, 5, 16, 20, 24, 32, 40)


def random_operators(seed: int, *, length: int = 24, height: int = 9, width: int = 13) -> ir.Model:
    """A graph on float32 (N, 3, height, width) pictures with one to four outputs, all of its nodes used or not."""
    return _Writer(seed, height, width).model(length)


@dataclass(frozen=True)
class _Value:
    """joined: concatenated of parts that fill no whole groups of 16 channels; sums of such are refused."""

    value: ir.Value
    channels: int
    height: int
    width: int
    joined: bool = False

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width


class _Writer:
    def __init__(self, seed: int, height: int, width: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[ir.Node] = []
        self.initializers: list[ir.Value] = []
        image = ir.Value(
            name="image", shape=ir.Shape(["N", 3, height, width]), type=ir.TensorType(ir.DataType.FLOAT)
        )
        self.image = _Value(image, 3, height, width)
        self.planar = [self.image]
        self.blocked: list[_Value] = []

    def model(self, length: int) -> ir.Model:
        self.rectified(self.image)
        steps = (
            self.convolution,
            self.convolution,
            self.side,
            self.pointwise,
            self.pool,
            self.resize,
            self.add,
            self.residual,
            self.concat,
            self.concat,
            self.sigmoid,
            self.identity,
        )
        while len(self.nodes) < length:
            steps[self.random.integers(len(steps))]()
        self.side()
        count = int(self.random.integers(1, 5))
        # With some luck one of them twice, or the picture itself.
        outputs = [self.planar[-1], *(self.pick(self.planar) for _ in range(count - 1))]
        values = []
        for index, output in enumerate(outputs):
            value = self.node("Identity", [output.value])
            value.name = f"output{index}"
            value.type = ir.TensorType(ir.DataType.FLOAT)
            value.shape = ir.Shape(["N", output.channels, *output.size])
            values.append(value)
        graph = ir.Graph(
            [self.image.value],
            values,
            nodes=self.nodes,
            initializers=self.initializers,
            opset_imports={"": 18},
            name="random",
        )
        return ir.Model(graph, ir_version=8)

    def pick(self, values: list[_Value]) -> _Value:
        # Rather a late one, so that the graph gets deep.
        return values[-1 - int(self.random.integers(len(values)) * self.random.uniform())]

    def constant(self, array: np.ndarray) -> ir.Value:  # type: ignore[type-arg]
        value = ir.Value(
            name=f"constant{len(self.initializers)}",
            const_value=ir.tensor(array),
            shape=ir.Shape(array.shape),
            type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
        )
        self.initializers.append(value)
        return value

    def node(self, op_type: str, inputs: list[ir.Value | None], **attributes: object) -> ir.Value:
        name = f"{op_type.lower()}{len(self.nodes)}"
        node = ir.node(op_type, inputs, attributes, name=f"node_{name}")  # type: ignore[arg-type]
        node.outputs[0].name = name
        self.nodes.append(node)
        return node.outputs[0]

    def conv(self, source: _Value, channels: int, kernel: int, dilation: int = 1) -> ir.Value:
        shape = (channels, source.channels, kernel, kernel)
        weight = self.random.normal(size=shape) / math.sqrt(source.channels * kernel**2 / 2)
        bias = self.constant((self.random.normal(size=channels) / 3).astype(np.float32))
        return self.node(
            "Conv",
            [
                source.value,
                self.constant(weight.astype(np.float32)),
                *([bias] if self.random.random() < 0.8 else []),
            ],
            kernel_shape=[kernel] * 2,
            pads=[dilation * (kernel // 2)] * 4,
            dilations=[dilation] * 2,
        )

    def rectified(self, source: _Value, dilation: int = 1) -> None:
        channels = int(self.random.choice(_CHANNELS))
        # Often the width of another one, so that they can be added.
        if self.blocked and self.random.random() < 0.6:
            same = [value.channels for value in self.blocked if value.size == source.size]
            channels = int(self.random.choice(same)) if same else channels
        value = self.node("Relu", [self.conv(source, channels, 3, dilation)])
        self.blocked.append(_Value(value, channels, *source.size))

    def convolution(self) -> None:
        if self.random.random() < 0.1:
            return self.rectified(self.pick(self.planar))
        return self.rectified(self.pick(self.blocked), int(self.random.choice([1, 1, 2, 4])))

    def side(self) -> None:
        source = self.pick(self.blocked)
        channels = int(self.random.integers(1, 4))
        self.planar.append(_Value(self.conv(source, channels, 3), channels, *source.size))

    def pointwise(self) -> None:
        source = self.pick(self.planar)
        self.planar.append(_Value(self.conv(source, 2, 1), 2, *source.size))

    def pool(self) -> None:
        source = self.pick(self.blocked)
        value = self.node("MaxPool", [source.value], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
        size = -(-source.height // 2), -(-source.width // 2)
        self.blocked.append(_Value(value, source.channels, *size, source.joined))

    def resize(self) -> None:
        values = self.blocked if self.random.random() < 0.7 else self.planar
        source, like = self.pick(values), self.pick(self.blocked + self.planar)
        value = self.node(
            "Resize",
            [source.value, None, None, self.constant(np.array(like.size, np.int64))],
            axes=[2, 3],
            mode="linear",
            coordinate_transformation_mode="pytorch_half_pixel",
        )
        values.append(_Value(value, source.channels, *like.size, source.joined))

    def add(self) -> None:
        first = self.pick([value for value in self.blocked if not value.joined])
        shape = (first.channels, first.size, False)
        fitting = [v for v in self.blocked if (v.channels, v.size, v.joined) == shape]
        second = fitting[int(self.random.integers(len(fitting)))]
        if first is second and self.random.random() < 0.8:
            return
        value = self.node("Add", [first.value, second.value])
        self.blocked.append(_Value(value, first.channels, *first.size))

    def residual(self) -> None:
        skip = self.pick([value for value in self.blocked if not value.joined])
        dilation = int(self.random.choice([1, 1, 2]))
        value = self.node("Relu", [self.conv(skip, skip.channels, 3, dilation)])
        terms = [value, skip.value] if self.random.random() < 0.5 else [skip.value, value]
        value = self.node("Add", terms)
        self.blocked.append(_Value(value, skip.channels, *skip.size))

    def concat(self) -> None:
        values = self.blocked if self.random.random() < 0.7 else self.planar
        first = self.pick(values)
        fitting = [v for v in values if v.size == first.size]
        parts = [first] + [fitting[int(i)] for i in self.random.integers(len(fitting), size=2)]
        parts = parts[: int(self.random.integers(2, 4))]
        if sum(part.channels for part in parts) < 120:
            value = self.node("Concat", [part.value for part in parts], axis=1)
            channels = sum(part.channels for part in parts)
            joined = any(part.joined for part in parts) or any(part.channels % 16 for part in parts[:-1])
            values.append(_Value(value, channels, *first.size, joined))

    def sigmoid(self) -> None:
        source = self.pick(self.planar)
        self.planar.append(_Value(self.node("Sigmoid", [source.value]), source.channels, *source.size))

    def identity(self) -> None:
        values = self.blocked if self.random.random() < 0.5 else self.planar
        source = self.pick(values)
        value = self.node("Identity", [source.value])
        values.append(_Value(value, source.channels, *source.size, source.joined))
