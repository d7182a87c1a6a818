"""The ONNX operators of our graphs as functions on PyTorch tensors; any other is refused by the name of its node.

Floats are carried in whatever type they come in; what restores 8-bit and 16-bit integers gives float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import onnx_ir as ir
import torch
import torch.nn.functional as F

from u2forge.errors import EngineError
from u2forge.gpu.convolutions import Window
from u2forge.gpu.half_pixel_resize import resized
from u2forge.graph.static_values import StaticValues
from u2forge.graph.structure import resize_coordinates
from u2forge.native.refusal import UnsupportedGraphError, node_name, operator

Apply = Callable[..., torch.Tensor]

# Integers of that many bits lie in float32 without loss.
_RANGES = {
    ir.DataType.INT8: (-128, 127),
    ir.DataType.UINT8: (0, 255),
    ir.DataType.INT16: (-32768, 32767),
    ir.DataType.UINT16: (0, 65535),
}
# Their other inputs say how, and are read once.
_OF_ONE_TENSOR = {"ReduceMax", "Resize"}
_FLOATS = {ir.DataType.FLOAT, ir.DataType.FLOAT16}


def refused(node: ir.Node, *, expected: str, found: str) -> EngineError:
    """The error of a node that this engine does not run."""
    return UnsupportedGraphError(
        where=f"engine 'cuda', node {node_name(node)!r}",
        expected=expected,
        found=f"{operator(node)} {found}".rstrip(),
        fix="run this model with the engine onnxruntime or openvino",
    )


def apply_of(node: ir.Node, values: StaticValues) -> Apply:
    """What a node does with its inputs, in their order, but a convolution, which has weights. Raises EngineError on an
    operator or an attribute that no graph of u2forge has."""
    make = _MAKERS.get(node.op_type) if node.domain == "" else None
    if make is None:
        known = ", ".join(sorted({"Conv", *_MAKERS}))
        raise refused(node, expected=f"one of the operators {known}", found="")
    return make(node, values)


def operands(node: ir.Node) -> Sequence[ir.Value | None]:
    """The inputs that what apply_of gives is called with."""
    return node.inputs[:1] if node.op_type in _OF_ONE_TENSOR else node.inputs


def convolution_window(node: ir.Node, kernel: Sequence[int]) -> Window:
    """What the attributes of a Conv say. kernel: height and width of its weights."""
    strides = _ints(node, "strides", (1, 1))
    dilations = _ints(node, "dilations", (1, 1))
    padding = _padding(node, kernel, strides, dilations)
    return Window(strides, padding, dilations, node.attributes.get_int("group", 1))


def _padding(
    node: ir.Node, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[int, ...]:
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    if automatic.startswith("SAME"):
        if tuple(strides) != (1, 1) or any(size % 2 == 0 for size in kernel):
            raise refused(
                node, expected="explicit pads", found=f"with auto_pad {automatic}, strides or an even kernel"
            )
        return tuple(step * (size // 2) for step, size in zip(dilations, kernel, strict=True))
    if automatic == "VALID":
        return (0, 0)
    pads = _ints(node, "pads", (0, 0, 0, 0))
    if tuple(pads[:2]) != tuple(pads[2:]):
        raise refused(node, expected="the same padding on both sides", found=f"with pads {tuple(pads)}")
    return tuple(pads[:2])


def _rectify(node: ir.Node, values: StaticValues) -> Apply:
    return torch.relu


def _sigmoid(node: ir.Node, values: StaticValues) -> Apply:
    return lambda x: torch.sigmoid(x.float())


def _pool(node: ir.Node, values: StaticValues) -> Apply:
    kernel = _ints(node, "kernel_shape", ())
    strides = _ints(node, "strides", (1, 1))
    dilations = _ints(node, "dilations", (1, 1))
    padding = _padding(node, kernel, strides, dilations)
    ceil = bool(node.attributes.get_int("ceil_mode", 0))
    if ceil and any(padding):
        raise refused(node, expected="ceil_mode without padding", found=f"with pads {padding}")
    return lambda x: F.max_pool2d(x, kernel, strides, padding, dilations, ceil_mode=ceil)


def _resize(node: ir.Node, values: StaticValues) -> Apply:
    mode = node.attributes.get_string("mode", "nearest")
    coordinates = resize_coordinates(node, values)
    if mode != "linear" or coordinates != "pytorch_half_pixel":
        raise refused(
            node,
            expected="bilinear, pytorch_half_pixel",
            found=f"with mode {mode}, coordinates {coordinates}",
        )
    source, target = (_shape(node, value, values) for value in (node.inputs[0], node.outputs[0]))
    size = [side for side in target[2:] if side is not None]
    if source[1:2] != target[1:2] or len(size) != 2 or len(target) != 4:
        raise refused(node, expected="a fixed height and width", found=f"from {source} to {target}")
    return lambda x: resized(x, size)


def _concatenate(node: ir.Node, values: StaticValues) -> Apply:
    axis = node.attributes.get_int("axis", 0)

    def apply(*parts: torch.Tensor) -> torch.Tensor:
        return torch.cat([part.to(parts[0].dtype) for part in parts], axis)

    return apply


def _maximum_of_axes(node: ir.Node, values: StaticValues) -> Apply:
    listed = values.constant(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else None
    axes = _ints(node, "axes", ()) if listed is None else tuple(int(axis) for axis in listed)
    if not axes:
        axes = tuple(range(len(_shape(node, node.inputs[0], values))))
    keep = bool(node.attributes.get_int("keepdims", 1))
    return lambda x: torch.amax(x, dim=axes, keepdim=keep)


def _transpose(node: ir.Node, values: StaticValues) -> Apply:
    rank = len(_shape(node, node.inputs[0], values))
    order = _ints(node, "perm", tuple(reversed(range(rank))))
    return lambda x: x.permute(order)


def _cast(node: ir.Node, values: StaticValues) -> Apply:
    target = ir.DataType(node.attributes.get_int("to", 0))
    if target not in _FLOATS:
        raise refused(node, expected="to float32 or float16", found=f"to {target.name}")
    return lambda x: x.float()


def _quantize(node: ir.Node, values: StaticValues) -> Apply:
    """Integers, as float32. Source: ONNX, QuantizeLinear: halves to even, then the zero point, then saturation."""
    kind = values.data_type(node.outputs[0])
    limits = None if kind is None else _RANGES.get(ir.DataType(kind))
    if limits is None:
        raise refused(node, expected="8 or 16 bits", found=f"to ONNX type {kind}")
    low, high = limits
    along = _along(node, values)

    def apply(x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor | None = None) -> torch.Tensor:
        rounded = torch.round(x.float() / along(scale))
        if zero_point is not None:
            rounded += along(zero_point).float()
        return rounded.clamp_(low, high)

    return apply


def _dequantize(node: ir.Node, values: StaticValues) -> Apply:
    """Source: ONNX, DequantizeLinear."""
    along = _along(node, values)

    def apply(x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor | None = None) -> torch.Tensor:
        x = x.float() if zero_point is None else x.float() - along(zero_point).float()
        return x * along(scale)

    return apply


def _along(node: ir.Node, values: StaticValues) -> Callable[[torch.Tensor], torch.Tensor]:
    """Scales and zero points, shaped so that they lie along the node's axis."""
    if node.attributes.get_int("block_size", 0):
        raise refused(node, expected="one scale, or one for each channel", found="with blocks")
    rank = len(_shape(node, node.inputs[0], values))
    axis = node.attributes.get_int("axis", 1) % max(rank, 1)

    def along(array: torch.Tensor) -> torch.Tensor:
        if array.numel() == 1:
            return array.reshape(())
        return array.reshape([-1 if each == axis else 1 for each in range(rank)])

    return along


def _elementwise(function: Apply) -> Callable[[ir.Node, StaticValues], Apply]:
    return lambda node, values: function


def _shape(node: ir.Node, value: ir.Value | None, values: StaticValues) -> tuple[int | None, ...]:
    shape = None if value is None else values.shape(value)
    if shape is None:
        raise refused(node, expected="inputs of known rank", found="of unknown shape")
    return shape


def _ints(node: ir.Node, name: str, default: Sequence[int]) -> tuple[int, ...]:
    return tuple(node.attributes.get_ints(name, default)) or tuple(default)


_MAKERS: dict[str, Callable[[ir.Node, StaticValues], Apply]] = {
    "Add": _elementwise(torch.add),
    "Cast": _cast,
    "Concat": _concatenate,
    "DequantizeLinear": _dequantize,
    "Div": _elementwise(torch.div),
    "Identity": _elementwise(lambda x: x),
    "Max": _elementwise(lambda *terms: reduce(torch.maximum, terms)),
    "MaxPool": _pool,
    "Mul": _elementwise(torch.mul),
    "QuantizeLinear": _quantize,
    "ReduceMax": _maximum_of_axes,
    "Relu": _rectify,
    "Resize": _resize,
    "Sigmoid": _sigmoid,
    "Sub": _elementwise(torch.sub),
    "Transpose": _transpose,
}
