"""Small model files that tests of several folders write: a net like U²-Net's parts, and one of two inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from u2forge.model_file.manifest import Manifest, Origin
from u2forge.model_file.write import write_model
from u2forge.precision import PrecisionMode
from u2forge.tensor_spec import TensorSpec

_TYPES = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}


def manifest_of(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], precision: PrecisionMode = "force_float32"
) -> Manifest:
    return Manifest(
        name="small",
        architecture="small",
        precision=precision,
        origin=Origin(file="small.onnx", format="onnx", sha256="0" * 64),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        pre="official",
        post="stretch",
        embedded_preprocessing=inputs[0].dtype == "uint8",
        tools={"onnx": onnx.__version__},
    )


def graph_proto(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    weights: Mapping[str, NDArray[Any]],
) -> onnx.ModelProto:
    def info(spec: TensorSpec) -> onnx.ValueInfoProto:
        shape = [size if size is not None else f"any_{axis}" for axis, size in enumerate(spec.shape)]
        return helper.make_tensor_value_info(spec.name, _TYPES[spec.dtype], shape)

    graph = helper.make_graph(
        list(nodes),
        "small",
        [info(spec) for spec in inputs],
        [info(spec) for spec in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def network_proto(
    *, batch: int | None = 1, embedded: bool = False, channels: int = 8
) -> tuple[onnx.ModelProto, list[TensorSpec], list[TensorSpec]]:
    """Conv, Relu, MaxPool, Resize, Concat and Sigmoid on 16×16 pictures; embedded: 8-bit NHWC pictures in."""
    random = np.random.default_rng(0)
    weights = {
        "first": random.standard_normal((channels, 3, 3, 3)).astype(np.float32) / 4,
        "second": random.standard_normal((channels, channels, 3, 3)).astype(np.float32) / 8,
        "last": random.standard_normal((1, 2 * channels, 3, 3)).astype(np.float32) / 8,
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], **pads),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["c", "second"], ["d"], **pads),
        helper.make_node(
            "Resize",
            ["d", "", "scales"],
            ["e"],
            mode="linear",
            coordinate_transformation_mode="pytorch_half_pixel",
        ),
        helper.make_node("Concat", ["b", "e"], ["f"], axis=1),
        helper.make_node("Conv", ["f", "last"], ["g"], **pads),
        helper.make_node("Sigmoid", ["g"], ["d0"]),
    ]
    if embedded:
        inputs = [TensorSpec("image", (batch, 16, 16, 3), "uint8", "NHWC")]
        weights["full"] = np.float32(255)
        nodes = [
            helper.make_node("Cast", ["image"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["cast", "full"], ["scaled"]),
            helper.make_node("Transpose", ["scaled"], ["x"], perm=[0, 3, 1, 2]),
            *nodes,
        ]
    else:
        inputs = [TensorSpec("x", (batch, 3, 16, 16), "float32", "NCHW")]
    outputs = [TensorSpec("d0", (batch, 1, 16, 16), "float32", "NCHW")]
    return graph_proto(nodes, inputs, outputs, weights), inputs, outputs


def rectified_proto(
    *, batch: int | None = 1, embedded: bool = False, channels: int = 8
) -> tuple[onnx.ModelProto, list[TensorSpec], list[TensorSpec]]:
    """The same with what is upsampled rectified, as in a U²-Net: every engine runs it. embedded: as build embeds it."""
    from u2forge.passes.embed_preprocessing import EmbedPreprocessing

    proto, inputs, outputs = network_proto(batch=batch, channels=channels)
    resize = next(node for node in proto.graph.node if node.op_type == "Resize")
    resize.input[0] = "rectified"
    nodes = list(proto.graph.node)
    nodes.insert(nodes.index(resize), helper.make_node("Relu", ["d"], ["rectified"]))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    if not embedded:
        return proto, inputs, outputs
    model = onnx_ir.serde.deserialize_model(proto)
    EmbedPreprocessing()(model)
    proto = onnx_ir.serde.serialize_model(model)
    return proto, [TensorSpec("image", (batch, 16, 16, 3), "uint8", "NHWC")], outputs


def doubled_proto() -> tuple[onnx.ModelProto, list[TensorSpec], list[TensorSpec]]:
    """One input of values that are not negative, and two outputs: total, twice as much, and difference, which is 0."""
    shape = (1, 1, 4, 4)
    kernels = np.zeros((3, 1, 1, 3, 3), np.float32)
    kernels[:, 0, 0, 1, 1] = 1, 2, 0
    inputs = [TensorSpec("value", shape, "float32", "NCHW")]
    outputs = [TensorSpec(name, shape, "float32", "NCHW") for name in ("total", "difference")]
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["value", "one"], ["copied"], **pads),
        helper.make_node("Relu", ["copied"], ["rectified"]),
        helper.make_node("Conv", ["rectified", "two"], ["total"], **pads),
        helper.make_node("Conv", ["rectified", "zero"], ["difference"], **pads),
    ]
    weights = dict(zip(("one", "two", "zero"), kernels, strict=True))
    return graph_proto(nodes, inputs, outputs, weights), inputs, outputs


def two_by_two_proto() -> tuple[onnx.ModelProto, list[TensorSpec], list[TensorSpec]]:
    """Two inputs and two outputs: left + right, left - right."""
    shape = (1, 1, 4, 4)
    inputs = [TensorSpec(name, shape, "float32", "NCHW") for name in ("left", "right")]
    outputs = [TensorSpec(name, shape, "float32", "NCHW") for name in ("total", "difference")]
    nodes = [
        helper.make_node("Add", ["left", "right"], ["total"]),
        helper.make_node("Sub", ["left", "right"], ["difference"]),
    ]
    return graph_proto(nodes, inputs, outputs, {}), inputs, outputs


def write_proto(
    parts: tuple[onnx.ModelProto, list[TensorSpec], list[TensorSpec]],
    path: Path,
    *,
    precision: PrecisionMode = "force_float32",
) -> Path:
    proto, inputs, outputs = parts
    write_model(onnx_ir.serde.deserialize_model(proto), manifest_of(inputs, outputs, precision), path)
    return path


def picture_batch(spec: TensorSpec, *, batch: int = 1, seed: int = 0) -> NDArray[Any]:
    shape = [batch if size is None else size for size in spec.shape]
    random = np.random.default_rng(seed)
    if spec.dtype == "uint8":
        return random.integers(0, 256, shape, dtype=np.uint8)
    return random.standard_normal(shape).astype(np.float32)
