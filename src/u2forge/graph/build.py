"""Architecture table + named arrays → float ONNX graph with symbolic batch, height and width; no tracing.

Source: upstream model/u2net.py, the forward methods of RSU7 … RSU4F and U2NET.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.graph.architecture import (
    BATCH_NORM_EPSILON,
    BATCH_NORM_PARAMETERS,
    ENCODER_DILATIONS,
    IMAGE_CHANNELS,
    SIDE_COUNT,
    SIDE_SOURCES,
    Architecture,
    Convolution,
    Stage,
    convolutions,
)

OPSET = 18
IR_VERSION = 8
INPUT_NAME = "image"
OUTPUT_NAMES = tuple(f"d{i}" for i in range(SIDE_COUNT + 1))

Arrays = Mapping[str, NDArray[np.float32]]


def graph_from_arrays(architecture: Architecture, arrays: Arrays) -> ir.Model:
    """The float graph: input "image" float32 (N, 3, H, W), normalised; outputs d0 … d6 float32 (N, 1, H, W),
    probabilities. Batch-norm nodes stand where the arrays have them. arrays: named and shaped as
    expected_parameters says; they are shared, not copied. Nodes bear upstream's module paths.
    """
    writer = _GraphWriter(architecture, arrays)
    image = ir.Value(name=INPUT_NAME, shape=_image_shape(IMAGE_CHANNELS), type=_FLOAT)
    outputs = _network(writer, image)
    graph = ir.Graph(
        [image],
        outputs,
        nodes=writer.nodes,
        initializers=writer.initializers,
        opset_imports={"": OPSET},
        name=architecture.name,
    )
    return ir.Model(graph, ir_version=IR_VERSION, producer_name="u2forge")


def _image_shape(channels: int) -> ir.Shape:
    return ir.Shape(["N", channels, "H", "W"])


_FLOAT = ir.TensorType(ir.DataType.FLOAT)


def _network(writer: _GraphWriter, image: ir.Value) -> list[ir.Value]:
    made: dict[str, ir.Value] = {}
    x = image
    for level in range(1, 7):
        if level > 1:
            x = writer.max_pool(f"pool{level - 1}{level}", x)
        x = made[f"stage{level}"] = _stage(writer, f"stage{level}", x)
    for level in range(5, 0, -1):
        skip = made[f"stage{level}"]
        up = writer.resize_like(f"stage{level}d.upsample", x, skip)
        x = made[f"stage{level}d"] = _stage(
            writer, f"stage{level}d", writer.concat(f"stage{level}d.concat", [up, skip])
        )
    sides = [writer.conv(f"side{i}", made[source]) for i, source in enumerate(SIDE_SOURCES, start=1)]
    sides[1:] = [
        writer.resize_like(f"side{i}.upsample", s, sides[0]) for i, s in enumerate(sides[1:], start=2)
    ]
    fused = writer.conv("outconv", writer.concat("outconv.concat", sides))
    return [writer.probability(name, x) for name, x in zip(OUTPUT_NAMES, [fused, *sides], strict=True)]


def _stage(writer: _GraphWriter, name: str, x: ir.Value) -> ir.Value:
    stage = writer.architecture.stage(name)
    skip = writer.block(f"{name}.rebnconvin", x)
    levels = _stage_encoder(writer, stage, skip)
    x = levels.pop()
    for level in range(len(levels), 0, -1):
        below = levels[level - 1]
        # The deepest two levels have one size already, and so have all in RSU4F: nothing to upsample.
        if level < len(levels) and stage.kind != "RSU4F":
            x = writer.resize_like(f"{name}.rebnconv{level}d.upsample", x, below)
        x = writer.concat(f"{name}.rebnconv{level}d.concat", [x, below])
        x = writer.block(f"{name}.rebnconv{level}d", x)
    return writer.node("Add", f"{name}.add", [x, skip])


def _stage_encoder(writer: _GraphWriter, stage: Stage, x: ir.Value) -> list[ir.Value]:
    depth = len(ENCODER_DILATIONS[stage.kind])
    levels = []
    for level in range(1, depth + 1):
        if 1 < level < depth and stage.kind != "RSU4F":
            x = writer.max_pool(f"{stage.name}.pool{level - 1}", x)
        x = writer.block(f"{stage.name}.rebnconv{level}", x)
        levels.append(x)
    return levels


class _GraphWriter:
    """Collects nodes and initializers; each method appends one operation and returns its output."""

    def __init__(self, architecture: Architecture, arrays: Arrays) -> None:
        self.architecture = architecture
        self.nodes: list[ir.Node] = []
        self.initializers: list[ir.Value] = []
        self._arrays = arrays
        self._rows: dict[str, Convolution] = {row.module: row for row in convolutions(architecture)}

    def node(self, op_type: str, name: str, inputs: Sequence[ir.Value | None], **attributes: Any) -> ir.Value:
        output = ir.Value(name=name, type=_FLOAT)
        self.nodes.append(ir.node(op_type, inputs, attributes, outputs=[output], name=name))
        return output

    def conv(self, module: str, x: ir.Value) -> ir.Value:
        row = self._rows[module]
        padding = row.dilation * (row.kernel // 2)
        x = self.node(
            "Conv",
            module,
            [x, self._parameter(f"{module}.weight"), self._parameter(f"{module}.bias")],
            dilations=[row.dilation] * 2,
            kernel_shape=[row.kernel] * 2,
            pads=[padding] * 4,
            strides=[1, 1],
        )
        if row.batch_norm is None or f"{row.batch_norm}.weight" not in self._arrays:
            return x
        parameters = [self._parameter(f"{row.batch_norm}.{name}") for name in BATCH_NORM_PARAMETERS]
        return self.node("BatchNormalization", row.batch_norm, [x, *parameters], epsilon=BATCH_NORM_EPSILON)

    def block(self, module: str, x: ir.Value) -> ir.Value:
        return self.node("Relu", f"{module}.relu_s1", [self.conv(f"{module}.conv_s1", x)])

    def max_pool(self, name: str, x: ir.Value) -> ir.Value:
        return self.node("MaxPool", name, [x], ceil_mode=1, kernel_shape=[2, 2], strides=[2, 2])

    def resize_like(self, name: str, x: ir.Value, like: ir.Value) -> ir.Value:
        size = self.node("Shape", f"{name}.size", [like], start=2, end=4)
        size.type, size.shape = ir.TensorType(ir.DataType.INT64), ir.Shape([2])
        return self.node(
            "Resize",
            name,
            [x, None, None, size],
            axes=[2, 3],
            coordinate_transformation_mode="pytorch_half_pixel",
            mode="linear",
        )

    def concat(self, name: str, inputs: Sequence[ir.Value]) -> ir.Value:
        return self.node("Concat", name, inputs, axis=1)

    def probability(self, name: str, x: ir.Value) -> ir.Value:
        output = self.node("Sigmoid", f"{name}.sigmoid", [x])
        output.name, output.shape = name, _image_shape(1)
        return output

    def _parameter(self, name: str) -> ir.Value:
        array = self._arrays[name]
        tensor = ir.Tensor(array, name=name)
        value = ir.Value(name=name, const_value=tensor, type=_FLOAT, shape=ir.Shape(array.shape))
        self.initializers.append(value)
        return value
