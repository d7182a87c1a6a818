"""Graphs that the native engine does not run are refused by the name of what is at fault, with what would do."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from pass_checks import graph

from small_model_files import network_proto, two_by_two_proto
from small_networks import random_graph
from u2forge.errors import EngineError, ModelError
from u2forge.native.lower import lower
from u2forge.native.refusal import UnsupportedGraphError
from u2forge.passes.recipes import offline_graph

SAME = "kernel_shape=[3,3], pads=[1,1,1,1]"
HALVED = "kernel_shape=[2,2], strides=[2,2]"
START = f"[first] c1 = Conv<{SAME}>(image, w3) [relu] r1 = Relu(c1)"
END = f"[last] d0 = Conv<{SAME}>(x, last)"

OPERATORS = "one of the operators Add, Concat, Conv, MaxPool, Relu, Resize, Sigmoid"
WEIGHTS = "weights that are constants: float32, float16 behind a Cast, integers behind a DequantizeLinear"
KINDS = "3×3 of rectified channels, 3×3 with a Relu that alone reads it, or 1×1 of logits without Relu"
HALF = "coordinate_transformation_mode pytorch_half_pixel, or half_pixel to more than one pixel"
RELU = "the output of a 3×3 convolution that nothing else reads"
TWO = "2 inputs that depend on the picture, all else constant"

ARRAYS: dict[str, Any] = {
    "w3": np.ones((16, 3, 3, 3), "f4"),
    "last": np.ones((1, 16, 3, 3), "f4"),
    "a": np.ones(16, "f4"),
    "v": np.ones((16, 16, 3, 3), "f4"),
    "v1": np.ones((1, 16, 3, 3), "f4"),
    "v20": np.ones((20, 16, 3, 3), "f4"),
    "v40": np.ones((40, 16, 3, 3), "f4"),
    "grouped": np.ones((16, 4, 3, 3), "f4"),
    "five": np.ones((16, 16, 5, 5), "f4"),
    "point": np.ones((16, 16, 1, 1), "f4"),
    "integers": np.ones((16, 16, 3, 3), "i1"),
    "ones": np.ones((1, 16, 12, 10), "f4"),
    "scales": np.array([1, 1, 2, 2], "f4"),
    "uneven": np.array([1, 1, 1.5, 1.25], "f4"),
    "deeper": np.array([1, 2, 2, 2], "f4"),
    "more": np.array([2, 1, 2, 2], "f4"),
    "size": np.array([4, 16, 24, 24]),
    "half": np.float32(0.5),
    "quarter": np.float32(0.25),
    "zero": np.uint8(0),
    "five_scales": np.ones(5, "f4"),
}


def refused(model: ir.Model) -> str:
    """Between the engine's name, with which the message begins, and what to use instead, with which it ends."""
    with pytest.raises(UnsupportedGraphError) as caught:
        lower(model)
    assert isinstance(caught.value, EngineError)
    message = str(caught.value)
    start, end = "engine 'native', ", ". To mend: run this model with the engine openvino or onnxruntime."
    assert message.startswith(start)
    assert message.endswith(end)
    return message[len(start) : -len(end)]


def around(text: str, *, size: str = "N,3,12,10") -> ir.Model:
    """A graph of one rectified convolution `r1`, the text, in which @ marks the node at fault, and a last convolution
    that reads `x`."""
    text = text.replace("@", "[here] ")
    used = {name: array for name, array in ARRAYS.items() if name in f"{START} {text} {END}"}
    return graph(f"(float[{size}] image) => (float[N,1,h,v] d0) {{ {START} {text} {END} }}", **used)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@x = Softmax<axis=1>(r1)", f"{OPERATORS}; found Softmax"),
        ("@x = Mul(r1, r1)", f"{OPERATORS}; found Mul"),
        ("@x = BatchNormalization(r1, a, a, a, a)", f"{OPERATORS}; found BatchNormalization"),
        ("@x = Clip(r1)", f"{OPERATORS}; found Clip"),
        (f"@x, i = MaxPool<{HALVED}>(r1) j = Cast<to=1>(i)", "one output; found MaxPool with 2 outputs"),
    ],
)  # fmt: skip
def test_other_operators(text: str, message: str) -> None:
    assert refused(around(text)) == f"node 'here': expected {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"@x = Conv<{SAME}, strides=[2,2]>(r1, v)", "stride 1; found Conv with strides 2×2"),
        (f"@x = Conv<{SAME}, group=4>(r1, grouped)", "one group; found Conv with 4 groups"),
        ("@x = Conv<kernel_shape=[3,3]>(r1, v)",
         "pads (1, 1, 1, 1), which keep the size; found Conv with pads (0, 0, 0, 0)"),
        ('@x = Conv<auto_pad="VALID">(r1, v)',
         "pads (1, 1, 1, 1), which keep the size; found Conv with pads (0, 0, 0, 0)"),
        ("@x = Conv<pads=[1,2,1,2], dilations=[1,2]>(r1, v)",
         "the same dilation both ways; found Conv with dilations 1×2"),
        ("@x = Conv<pads=[2,2,2,2]>(r1, five)", "a kernel of 3×3 or 1×1; found Conv with a kernel of 5×5"),
        ("@x = Conv(r1, point)", f"{KINDS}; found Conv of 1×1, of rectified channels, without Relu"),
        ("@y = Conv(r1, point) x = Relu(y)", f"{KINDS}; found Conv of 1×1, of rectified channels, with Relu"),
        (f"@y = Conv<{SAME}>(image, w3) x = Sigmoid(y)",
         f"{KINDS}; found Conv of 3×3, of a picture or logits, without Relu"),
        ("@x = Conv<pads=[2,2,2,2], dilations=[2,2]>(r1, v)",
         "dilation 1 where it reads a picture or gives logits; found Conv with dilation 2"),
        ("@y = Conv<pads=[2,2,2,2], dilations=[2,2]>(image, w3) x = Relu(y)",
         "dilation 1 where it reads a picture or gives logits; found Conv with dilation 2"),
        ("w = DequantizeLinear(integers, five_scales)"
         f"@x = Conv<{SAME}>(r1, w)", f"{WEIGHTS}; found Conv with 'w'"),
        (f"w = Cast<to=1>(integers) @x = Conv<{SAME}>(r1, w)", f"{WEIGHTS}; found Conv with 'w'"),
        (f"@x = Conv<{SAME}>(r1, w3)", "weights for 16 channels; found Conv with weights for 3"),
    ],
)  # fmt: skip
def test_convolutions(text: str, message: str) -> None:
    assert refused(around(text)) == f"node 'here': expected {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@x = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(r1)",
         "2×2 with stride 2; found MaxPool of 3×3 with stride 2×2"),
        ("@x = MaxPool<kernel_shape=[2,2]>(r1)", "2×2 with stride 2; found MaxPool of 2×2 with stride 1×1"),
        (f"@x = MaxPool<{HALVED}, pads=[1,1,1,1]>(r1)",
         "no padding and no dilation; found MaxPool with pads (1, 1, 1, 1), dilations (1, 1)"),
        (f"y = Conv<{SAME}>(r1, v) @x = MaxPool<{HALVED}>(y)",
         "rectified channels as its input; found MaxPool of 'y'"),
    ],
)  # fmt: skip
def test_pooling(text: str, message: str) -> None:
    assert refused(around(text)) == f"node 'here': expected {message}"


def test_pooling_that_drops_the_last_row() -> None:
    found = refused(around(f"@x = MaxPool<{HALVED}>(r1)", size="N,3,13,10"))
    assert found == (
        "node 'here': expected ceil_mode 1 at odd sizes; "
        "found MaxPool from (None, 16, 13, 10) to (None, 16, 6, 5)"
    )
    lower(around(f"x = MaxPool<{HALVED}, ceil_mode=1>(r1)", size="N,3,13,10"))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ('Resize<mode="nearest">(r1, , scales)', "mode linear; found Resize with mode nearest"),
        ('Resize<mode="cubic">(r1, , scales)', "mode linear; found Resize with mode cubic"),
        ('Resize<mode="linear", coordinate_transformation_mode="align_corners">(r1, , scales)',
         f"{HALF}; found Resize with align_corners"),
        ('Resize<mode="linear", coordinate_transformation_mode="asymmetric">(r1, , scales)',
         f"{HALF}; found Resize with asymmetric"),
        ('Resize<mode="linear", antialias=1>(r1, , scales)', f"{HALF}; found Resize with half_pixel, antialias"),
        ('Resize<mode="linear">(r1, , uneven)',
         f"{HALF}; found Resize with pytorch_half_pixel, scales [1.0, 1.0, 1.5, 1.25]"),
        ('Resize<mode="linear">(r1, , deeper)', "height and width as the axes; found Resize of batch or channels"),
        ('Resize<mode="linear">(r1, , more)', "height and width as the axes; found Resize of batch or channels"),
        ('Resize<mode="linear">(r1, , , size)', "height and width as the axes; found Resize of batch or channels"),
        ('Resize<mode="linear", exclude_outside=1>(r1, , scales)',
         "exclude_outside 0; found Resize with exclude_outside 1"),
    ],
)  # fmt: skip
def test_resizing(node: str, message: str) -> None:
    # 10 · 1.25 is no whole number, so that the scale is not the quotient of the sizes.
    assert refused(around(f"@x = {node}")) == f"node 'here': expected {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@x = Add(r1, ones)", f"{TWO}; found Add of 'r1', 'ones'"),
        (f"y = Conv<{SAME}>(r1, v) @x = Add(y, r1)", "rectified channels as both terms; found Add of 'y'"),
        (f"y = Conv<{SAME}>(r1, v1) z = Relu(y) @x = Add(z, r1)",
         "terms of one shape; found Add of shapes (1, 12, 10) and (16, 12, 10)"),
        (f"y = Conv<{SAME}>(r1, v20) z = Relu(y) j = Concat<axis=1>(z, z)"
         f"c = Conv<{SAME}>(r1, v40) r = Relu(c) @s = Add(r, j) x = Identity(r1)",
         "terms whose parts are multiples of 16 channels; found Add of 'j', joined of (20, 20)"),
        (f"y = Conv<{SAME}>(r1, v) @x = Concat<axis=1>(y, r1)",
         "parts that are all rectified, or all not; found Concat of 'y', 'r1'"),
        ("@x = Concat<axis=2>(r1, r1)", "axis 1, the channels; found Concat along axis 2"),
        ("@x = Concat<axis=1>(r1, ones)", f"{TWO}; found Concat of 'r1', 'ones'"),
        ("@x = Sigmoid(r1)", "logits as its input; found Sigmoid of 'r1'"),
        ("@x = Relu(r1)", f"{RELU}; found Relu of 'r1'"),
        (f"y = Conv<{SAME}>(r1, v) @z = Relu(y) x = Sigmoid(y)", f"{RELU}; found Relu of 'y'"),
    ],
)  # fmt: skip
def test_mixtures_of_rectified_channels_and_logits(text: str, message: str) -> None:
    assert refused(around(text)) == f"node 'here': expected {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("y = QuantizeLinear(r1, half, zero) @x = DequantizeLinear(y, quarter, zero)",
         "the scale and zero point of its QuantizeLinear; found DequantizeLinear with other ones"),
        ("y = QuantizeLinear(r1, half, zero) @x = DequantizeLinear(y, half)",
         "the scale and zero point of its QuantizeLinear; found DequantizeLinear with other ones"),
        (f"y = QuantizeLinear(r1, half, zero) @z = MaxPool<{HALVED}>(y) x = DequantizeLinear(z, half, zero)",
         "integers that DequantizeLinear reads; found MaxPool of integers"),
    ],
)  # fmt: skip
def test_rounding_that_is_not_undone(text: str, message: str) -> None:
    assert refused(around(text)) == f"node 'here': expected {message}"


def test_an_operator_of_another_domain_is_named_with_it() -> None:
    model = around("@x = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r1)")
    next(node for node in model.graph if node.name == "here").domain = "com.example"
    assert refused(model) == f"node 'here': expected {OPERATORS}; found com.example.MaxPool"


def test_a_node_without_name_is_named_by_its_output() -> None:
    assert refused(around("x = Elu(r1)")) == f"node 'x': expected {OPERATORS}; found Elu"


FIXED = "float32 (N, C, H, W) or uint8 (N, H, W, 3) of fixed size"


@pytest.mark.parametrize(
    ("size", "found"),
    [("N,3,h,10", "FLOAT [N,3,h,10]"), ("N,3,12", "FLOAT [N,3,12]"), ("N,c,12,10", "FLOAT [N,c,12,10]")],
)
def test_a_picture_of_open_size(size: str, found: str) -> None:
    model = graph(f"(float[{size}] image) => (float[N,1,h,v] d0) {{ d0 = Sigmoid(image) }}")
    assert refused(model) == f"input 'image': expected {FIXED}; found {found}"


def test_a_picture_in_float16() -> None:
    model = graph("(float16[N,1,8,8] image) => (float16[N,1,8,8] d0) { d0 = Sigmoid(image) }")
    assert refused(model) == f"input 'image': expected {FIXED}; found FLOAT16 [N,1,8,8]"


def test_two_inputs() -> None:
    assert refused(ir.from_proto(two_by_two_proto()[0])) == "graph: expected one input; found 'left', 'right'"


def test_an_old_operator_set() -> None:
    model = around("x = Identity(r1)")
    model.opset_imports[""] = 12
    assert refused(model) == "graph: expected operator set 13 or later; found 12"


def test_rectified_channels_as_output() -> None:
    model = graph(f"(float[1,3,8,8] image) => (float[1,16,8,8] r1) {{ {START} }}", w3=ARRAYS["w3"])
    expected = "output 'r1': expected what a convolution without Relu, or a Sigmoid, gives"
    assert refused(model) == f"{expected}; found the rectified channels 'r1'"


def test_an_output_that_no_picture_changes() -> None:
    model = graph("(float[1,3,8,8] image) => (float[3] d0) { d0 = Identity(c) }", c=np.ones(3, "f4"))
    assert refused(model) == "output 'd0': expected float32, computed from the picture; found another value"


def test_rounded_integers_as_output() -> None:
    model = graph(
        "(float[1,3,8,8] image) => (uint8[1,3,8,8] d0) { d0 = QuantizeLinear(image, half, zero) }",
        half=ARRAYS["half"],
        zero=ARRAYS["zero"],
    )
    assert refused(model) == "output 'd0': expected float32, computed from the picture; found another value"


def test_the_small_networks_of_other_tests_mix_rectified_channels_and_logits() -> None:
    proto, _, _ = network_proto()
    found = refused(ir.from_proto(proto))
    assert found == "node 'f': expected parts that are all rectified, or all not; found Concat of 'b', 'e'"


PREPROCESSING = "the preprocessing that `u2forge build --embed-preprocessing` writes"


def test_other_preprocessing() -> None:
    proto, _, _ = network_proto(embedded=True)
    assert refused(ir.from_proto(proto)) == (
        f"value 'image': expected {PREPROCESSING}: Transpose that alone read this value; found Cast 'cast'"
    )


def embedded() -> ir.Model:
    return offline_graph(
        random_graph(),
        outputs="d0",
        batch_size=1,
        height=32,
        width=32,
        precision="force_float32",
        embed_preprocessing=True,
    )


@pytest.mark.parametrize(
    ("constant", "array", "node", "expected"),
    [
        ("one", np.array([2], "f4"), "divisor", "Max with 1"),
        ("axes", np.array([1, 2]), "maximum", "ReduceMax over channels, height and width of each picture"),
        ("scale", np.ones((1, 1, 1, 1), "f4"), "multiply", "one number for each channel"),
        ("offset", np.ones((1, 1, 1, 1), "f4"), "add", "one number for each channel"),
    ],
)
def test_preprocessing_with_other_numbers(
    constant: str, array: np.ndarray[Any, Any], node: str, expected: str
) -> None:
    model = embedded()
    value = model.graph.initializers[f"preprocess.{constant}"]
    value.const_value, value.shape = ir.tensor(array), ir.Shape(array.shape)
    operator = next(each.op_type for each in model.graph if each.name == f"preprocess.{node}")
    assert refused(model) == (
        f"node 'preprocess.{node}': expected {PREPROCESSING}: {expected}; found {operator} of another kind"
    )


def test_preprocessing_whose_picture_is_read_again() -> None:
    model = embedded()
    turned = next(node for node in model.graph if node.op_type == "Transpose")
    extra = ir.node("Cast", [turned.outputs[0]], {"to": int(ir.DataType.FLOAT)}, name="extra")
    model.graph.insert_after(turned, extra)
    found = refused(model)
    assert found.startswith("value 'preprocess.transpose': expected")
    assert "Cast that alone read this value" in found
    assert "Cast 'extra'" in found


def test_contradictory_shapes_are_the_model_s_fault() -> None:
    with pytest.raises(ModelError, match="node 'here'"):
        lower(around("@x = Add(r1, image)"))
