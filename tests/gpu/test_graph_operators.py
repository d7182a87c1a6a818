"""Each operator on PyTorch against the ONNX project's reference evaluator, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

torch = pytest.importorskip("torch", reason="needs PyTorch")

from u2forge.errors import EngineError  # noqa: E402
from u2forge.gpu.torch_network import TorchNetwork  # noqa: E402

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.standard_normal((2, 4, 9, 7)).astype(np.float32)
KERNEL = RANDOM.standard_normal((6, 4, 3, 3)).astype(np.float32)
# Sums of a few dozen products in another order.
TOLERANCE = 1e-5


def model_of(
    nodes: Sequence[onnx.NodeProto], array: NDArray[Any], constants: dict[str, NDArray[Any]], opset: int = 21
) -> onnx.ModelProto:
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    graph = helper.make_graph(
        list(nodes),
        "one",
        [helper.make_tensor_value_info("x", kind, array.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def network_of(proto: onnx.ModelProto, **named: Any) -> TorchNetwork:
    return TorchNetwork(onnx_ir.serde.deserialize_model(proto), **named)


def compared(
    nodes: Sequence[onnx.NodeProto],
    array: NDArray[Any] = PICTURES,
    opset: int = 21,
    **constants: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Ours, and the reference's."""
    proto = model_of(nodes, array, constants, opset)
    with torch.inference_mode():
        ours = network_of(proto)({"x": torch.from_numpy(array)})["y"].numpy()
    return ours, ReferenceEvaluator(proto).run(None, {"x": array})[0]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": [1, 1, 1, 1]},
        {"pads": [3, 3, 3, 3], "dilations": [3, 3]},
        {"strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "VALID"},
    ],
)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("rectified", [False, True])
def test_convolutions(attributes: dict[str, Any], biased: bool, rectified: bool) -> None:
    constants = {"w": KERNEL} | ({"b": np.arange(6, dtype=np.float32)} if biased else {})
    nodes = [helper.make_node("Conv", ["x", *constants], ["c"], kernel_shape=[3, 3], **attributes)]
    nodes.append(helper.make_node("Relu" if rectified else "Identity", ["c"], ["y"]))
    ours, reference = compared(nodes, **constants)
    np.testing.assert_allclose(ours, reference, atol=TOLERANCE)


def test_a_convolution_by_groups() -> None:
    ours, reference = compared(
        [helper.make_node("Conv", ["x", "w"], ["y"], group=2, kernel_shape=[3, 3])],
        w=np.ascontiguousarray(KERNEL[:, :2]),
    )
    np.testing.assert_allclose(ours, reference, atol=TOLERANCE)


def test_what_others_read_stays_unrectified() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Concat", ["c", "r"], ["y"], axis=1),
    ]
    ours, reference = compared(nodes, w=KERNEL)
    assert (ours < 0).any()
    np.testing.assert_allclose(ours, reference, atol=TOLERANCE)


@pytest.mark.parametrize("ceil_mode", [0, 1])
def test_pools(ceil_mode: int) -> None:
    ours, reference = compared(
        [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=ceil_mode)]
    )
    np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize("size", [(18, 14), (9, 7), (5, 20), (1, 1)])
def test_resizes(size: tuple[int, int]) -> None:
    node = helper.make_node(
        "Resize",
        ["x", "", "", "sizes"],
        ["y"],
        mode="linear",
        coordinate_transformation_mode="pytorch_half_pixel",
    )
    ours, reference = compared([node], sizes=np.array([2, 4, *size], np.int64))
    np.testing.assert_allclose(ours, reference, atol=TOLERANCE)


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_maxima_of_axes(opset: int, keepdims: int) -> None:
    if opset < 18:
        nodes, constants = [helper.make_node("ReduceMax", ["x"], ["y"], axes=[1, 3], keepdims=keepdims)], {}
    else:
        nodes = [helper.make_node("ReduceMax", ["x", "axes"], ["y"], keepdims=keepdims)]
        constants = {"axes": np.array([1, 3], np.int64)}
    ours, reference = compared(nodes, opset=opset, **constants)
    np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Sigmoid", ["x"], ["y"])],
        [helper.make_node("Transpose", ["x"], ["y"], perm=[0, 2, 3, 1])],
        [helper.make_node("Transpose", ["x"], ["y"])],
        [helper.make_node("Max", ["x", "half", "zero"], ["y"])],
        *[[helper.make_node(name, ["x", "half"], ["y"])] for name in ("Add", "Sub", "Mul", "Div")],
    ],
    ids=lambda nodes: nodes[0].op_type,
)
def test_elementwise(nodes: list[onnx.NodeProto]) -> None:
    constants = {"half": np.float32(0.5), "zero": np.zeros((1, 4, 1, 1), np.float32)}
    used = {name: value for name, value in constants.items() if name in nodes[0].input}
    ours, reference = compared(nodes, **used)
    np.testing.assert_allclose(ours, reference, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
@pytest.mark.parametrize("by_channel", [False, True])
def test_rounding_is_onnxs_to_the_last_bit(dtype: Any, by_channel: bool) -> None:
    """Halves to even, the zero point after rounding, and saturation at both ends."""
    limits = np.iinfo(dtype)
    scale = np.array([0.5, 0.25, 3, 0.1], np.float32) if by_channel else np.float32(0.25)
    zero = np.full(4 if by_channel else (), limits.min // 2 + limits.max // 2 + 1, dtype)
    array = np.concatenate([np.arange(-40, 40) / 8, [limits.min * 4.0, limits.max * 4.0, 0.0, -0.0]]).astype(
        np.float32
    )
    array = np.ascontiguousarray(np.broadcast_to(array, (1, 4, 1, len(array))))
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], axis=1),
    ]
    ours, reference = compared(nodes, array, scale=scale, zero=zero)
    np.testing.assert_array_equal(ours, reference)
    assert len(np.unique(ours[0, 0])) > 20


def test_weights_behind_scales_and_casts_are_constants() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "scale", "zero"], ["w"], axis=0),
        helper.make_node("Cast", ["b16"], ["b"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "w", "b"], ["y"], kernel_shape=[3, 3]),
    ]
    constants = {
        "w8": RANDOM.integers(-128, 127, (6, 4, 3, 3)).astype(np.int8),
        "scale": np.linspace(0.01, 0.06, 6).astype(np.float32),
        "zero": np.zeros(6, np.int8),
        "b16": np.arange(6).astype(np.float16),
    }
    proto = model_of(nodes, PICTURES, constants)
    assert [operation.operator for operation in network_of(proto).operations] == ["Conv"]
    ours, reference = compared(nodes, **constants)
    np.testing.assert_allclose(ours, reference, atol=1e-4)


@pytest.mark.parametrize(
    ("node", "found"),
    [
        (helper.make_node("Softmax", ["x"], ["y"], name="soft"), "Softmax"),
        (helper.make_node("Relu", ["x"], ["y"], name="far", domain="com.example"), "com.example.Relu"),
        (helper.make_node("Conv", ["x", "x"], ["y"], name="twice"), "Conv without"),
        (
            helper.make_node("Resize", ["x", "", "scales"], ["y"], name="near", mode="nearest"),
            "Resize with mode nearest",
        ),
        (
            helper.make_node("Conv", ["x", "w"], ["y"], name="askew", pads=[0, 1, 1, 1]),
            r"Conv with pads \(0, 1, 1, 1\)",
        ),
        (helper.make_node("Cast", ["x"], ["y"], name="cut", to=TensorProto.INT32), "Cast to INT32"),
    ],
)
def test_any_other_is_refused_by_name(node: onnx.NodeProto, found: str) -> None:
    constants = {"scales": np.array([1, 1, 2, 2], np.float32), "w": KERNEL}
    proto = model_of(
        [node], PICTURES, {name: value for name, value in constants.items() if name in node.input}
    )
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(EngineError, match=f"engine 'cuda', node '{node.name}': .*; found {found}"):
        network_of(proto)
