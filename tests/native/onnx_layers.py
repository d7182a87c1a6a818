"""Single layers as ONNX Runtime computes them: what the kernels are held to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

Floats = NDArray[np.float32]


def runtime(
    nodes: list[Any], inputs: dict[str, NDArray[Any]], outputs: list[str], **constants: NDArray[Any]
) -> list[Floats]:
    """What ONNX Runtime makes of it."""
    import onnxruntime

    dims = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, a.shape) for name, a in inputs.items()
    }
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    initializers = [
        helper.make_tensor(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape, a.tobytes(), raw=True)
        for name, a in constants.items()
    ]
    graph = helper.make_graph(nodes, "g", list(dims.values()), results, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: list[Floats] = session.run(outputs, inputs)
    return found


def convolved(x: Floats, weight: Floats, bias: Floats, dilation: int = 1) -> Floats:
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[dilation] * 4, dilations=[dilation] * 2)
    return runtime([node], {"x": x}, ["y"], w=weight, b=bias)[0]


def max_pooled(x: Floats) -> Floats:
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    return runtime([node], {"x": x}, ["y"])[0]


def resized(x: Floats, size: tuple[int, int]) -> Floats:
    node = helper.make_node(
        "Resize",
        ["x", "", "", "s"],
        ["y"],
        mode="linear",
        coordinate_transformation_mode="pytorch_half_pixel",
    )
    return runtime([node], {"x": x}, ["y"], s=np.array([*x.shape[:2], *size]))[0]
