"""A convolution's weights as the model stores them (float32, float16 behind a Cast, integers behind a
DequantizeLinear) → float32 arrays, made when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.graph.static_values import StaticValues
from u2forge.native.refusal import refused

_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
_INTEGERS = (
    ir.DataType.INT8,
    ir.DataType.UINT8,
    ir.DataType.INT16,
    ir.DataType.UINT16,
    ir.DataType.INT32,
)


@dataclass(frozen=True, eq=False)
class StoredArray:
    """A constant of the graph. scale, zero_point: of integers, scalars or along `axis`."""

    stored: ir.TensorProtocol
    scale: NDArray[np.float32] | None = None
    zero_point: NDArray[np.int64] | None = None
    axis: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the array."""
        return tuple(int(size) for size in self.stored.shape.numpy())

    def read(self) -> NDArray[np.float32]:
        """The array. Source of the formula: ONNX, DequantizeLinear."""
        array: NDArray[Any] = self.stored.numpy()
        if self.scale is None:
            return np.asarray(array, np.float32)
        if self.zero_point is not None:
            array = array.astype(np.int64) - self._along_axis(self.zero_point)
        product: NDArray[np.float32] = np.asarray(array, np.float32) * self._along_axis(self.scale)
        return product

    def _along_axis(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.size == 1:
            return array.reshape(())
        return array.reshape([-1 if axis == self.axis else 1 for axis in range(len(self.shape))])


@dataclass(frozen=True, eq=False)
class ConvolutionWeights:
    """shape: (output channels, input channels, height, width)."""

    shape: tuple[int, int, int, int]
    _weight: StoredArray
    _bias: StoredArray | None

    def read_weight(self) -> NDArray[np.float32]:
        """(output channels, input channels, height, width); a view of the model's own bytes where it can be."""
        return self._weight.read()

    def read_bias(self) -> NDArray[np.float32]:
        """(output channels,); zeros where the convolution has none."""
        return np.zeros(self.shape[0], np.float32) if self._bias is None else self._bias.read()


def convolution_weights(node: ir.Node, values: StaticValues) -> ConvolutionWeights:
    """What a Conv multiplies with and adds. Raises EngineError where that is no constant, or of another form."""
    weight = _stored_input(node, 1, values)
    if weight is None or len(weight.shape) != 4:
        shape = "none" if weight is None else str(weight.shape)
        raise refused(node, expected="weights of four dimensions", found=f"with {shape}")
    bias = _stored_input(node, 2, values)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise refused(node, expected=f"a bias of shape {weight.shape[:1]}", found=f"with {bias.shape}")
    outputs, inputs, height, width = weight.shape
    return ConvolutionWeights((outputs, inputs, height, width), weight, bias)


def _stored_input(node: ir.Node, index: int, values: StaticValues) -> StoredArray | None:
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        return None
    array = _stored_array(value, values)
    if array is None:
        raise refused(
            node,
            expected="weights that are constants: float32, float16 behind a Cast, integers behind a DequantizeLinear",
            found=f"with {value.name!r}",
        )
    return array


def _stored_array(value: ir.Value, values: StaticValues) -> StoredArray | None:
    if value.is_graph_input():
        return None
    if value.const_value is not None:
        return StoredArray(value.const_value) if value.const_value.dtype == ir.DataType.FLOAT else None
    node = value.producer()
    if node is None or node.domain != "":
        return None
    if node.op_type == "Cast":
        below = _initializer(node.inputs[0])
        fits = below is not None and below.dtype in _FLOATS and values.data_type(value) == ir.DataType.FLOAT
        return StoredArray(below) if below is not None and fits else None
    if node.op_type == "DequantizeLinear":
        return _dequantized(node, values)
    constant = values.constant(value)
    return StoredArray(ir.tensor(constant)) if constant is not None and constant.dtype == np.float32 else None


def _initializer(value: ir.Value | None) -> ir.TensorProtocol | None:
    return None if value is None or value.is_graph_input() else value.const_value


def _dequantized(node: ir.Node, values: StaticValues) -> StoredArray | None:
    below = _initializer(node.inputs[0])
    scale = values.constant(node.inputs[1]) if len(node.inputs) > 1 else None
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    zeros = None if zero is None else values.constant(zero)
    if below is None or below.dtype not in _INTEGERS or scale is None or scale.dtype != np.float32:
        return None
    if (zero is not None and zeros is None) or node.attributes.get_int("block_size", 0) != 0:
        return None
    array = StoredArray(below)
    axis = node.attributes.get_int("axis", 1) % max(len(array.shape), 1)
    fitting = {1, array.shape[axis]} if array.shape else {1}
    if scale.size not in fitting or (zeros is not None and zeros.size not in fitting):
        return None
    return StoredArray(below, scale, None if zeros is None else zeros.astype(np.int64), axis)
