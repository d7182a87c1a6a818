"""A graph and its input shape → what is known before any picture is: tensor shapes, and constant tensors.

One forward sweep. Shapes come from the ONNX project's shape inference, constants from its reference
evaluator; of the operators only those that shape arithmetic and weights need are evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from u2forge.errors import ModelError

Shape = tuple["int | None", ...]

# Deterministic, free of side effects, and no slower than the size of what goes in and out.
EVALUATED_OPERATORS = frozenset(
    "Abs Add And Cast Ceil Concat ConstantOfShape Div Equal Expand Floor Gather Greater Identity Less Max Min"
    " Mod Mul Neg Not Or Pow Range ReduceMax ReduceMin ReduceProd ReduceSum Reshape Size Slice Sqrt Squeeze"
    " Sub Transpose Unsqueeze Where".split()
)
# Shape arithmetic is tiny and the widest convolution has 4.7 million weights; a graph that computes a larger
# constant is either an attack or not made smaller by folding.
_MAX_ELEMENTS = 16_000_000
# Constants up to this size may decide a shape, so that shape inference is shown them.
_MAX_SHAPE_ELEMENTS = 1024


class StaticValues:
    """What is known of a graph's values. shapes: None within one where a size is open; constants: computed."""

    def __init__(self, model: ir.Model, *, input_shapes: Mapping[str, Shape] | None = None) -> None:
        """Sweeps the graph once. input_shapes: by input name, in place of the declared ones.

        Raises ModelError where the shapes contradict each other, or an operator is unknown to ONNX.
        """
        self.types: dict[ir.Value, onnx.TypeProto] = {}
        self.constants: dict[ir.Value, NDArray[Any]] = {}
        self._partial: dict[ir.Value, Shape] = {}
        self._opset = [onnx.helper.make_opsetid(d, v) for d, v in model.opset_imports.items()]
        for value in model.graph.inputs:
            self.types[value] = _declared_type(value, (input_shapes or {}).get(str(value.name)))
        for node in model.graph:
            self._visit(node)

    def shape(self, value: ir.Value) -> Shape | None:
        """Its sizes, None for an open one; None where not even the rank is known."""
        if value.const_value is not None:
            return _sizes(value.const_value)
        if value in self.constants:
            return self.constants[value].shape
        tensor = self.types[value].tensor_type if value in self.types else onnx.TypeProto.Tensor()
        if not tensor.HasField("shape"):
            return None
        return tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)

    def data_type(self, value: ir.Value) -> int | None:
        """Its ONNX element type, None where it is not known."""
        known = self._type(value)
        return known.tensor_type.elem_type if known is not None and known.tensor_type.elem_type else None

    def constant(self, value: ir.Value | None) -> NDArray[Any] | None:
        """The tensor that this value always is, None where it depends on the picture."""
        if value is None or value.is_graph_input():
            return None
        if value.const_value is not None:
            array: NDArray[Any] = value.const_value.numpy()
            return array
        return self.constants.get(value)

    def _visit(self, node: ir.Node) -> None:
        if node.op_type == "Constant" and node.domain == "":
            self.constants[node.outputs[0]] = _constant_node_value(node)
            return
        self._infer(node)
        value = self._evaluate(node)
        if value is not None:
            self.constants[node.outputs[0]] = value

    def _infer(self, node: ir.Node) -> None:
        types = {str(v.name): self._type(v) for v in node.inputs if v is not None}
        foreign = node.domain != "" or any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values())
        if foreign or any(kind is None for kind in types.values()):
            return
        small = {str(v.name): c for v in node.inputs if v is not None and (c := self._small(v)) is not None}
        version = next(o.version for o in self._opset if o.domain == "")
        try:
            schema = onnx.defs.get_schema(node.op_type, version)
            inferred = onnx.shape_inference.infer_node_outputs(
                schema,
                ir.to_proto(node),
                {name: kind for name, kind in types.items() if kind is not None},
                {name: onnx.numpy_helper.from_array(value, name) for name, value in small.items()},
                opset_imports=self._opset,
            )
        except (
            onnx.defs.SchemaError,
            onnx.shape_inference.InferenceError,
            onnx.checker.ValidationError,  # of a type that the operator does not take
            ir.serde.SerdeError,  # of a name that is not UTF-8, which the checker lets through
        ) as error:
            raise _contradiction(node, error) from error
        for output in node.outputs:
            if str(output.name) in inferred:
                self.types[output] = inferred[str(output.name)]

    def _type(self, value: ir.Value) -> onnx.TypeProto | None:
        array = self.constants.get(value)
        if array is not None:
            kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            return onnx.helper.make_tensor_type_proto(kind, array.shape)
        if value.const_value is not None and not value.is_graph_input():
            tensor = value.const_value
            return onnx.helper.make_tensor_type_proto(int(tensor.dtype), _sizes(tensor))
        return self.types.get(value)

    def _small(self, value: ir.Value) -> NDArray[Any] | None:
        if value.const_value is not None and value.const_value.size > _MAX_SHAPE_ELEMENTS:
            return None
        array = self.constant(value)
        return array if array is not None and array.size <= _MAX_SHAPE_ELEMENTS else None

    def _evaluate(self, node: ir.Node) -> NDArray[Any] | None:
        """The node's one output where it is the same for every picture."""
        if node.domain != "" or len(node.outputs) != 1:
            return None
        if node.op_type in ("Shape", "Gather", "Slice"):
            known = self._shape_arithmetic(node)
            if known is not None:
                return known
        if node.op_type not in EVALUATED_OPERATORS or not self._small_enough(node):
            return None
        inputs = [self.constant(value) for value in node.inputs if value is not None]
        if any(array is None for array in inputs):
            return None
        return self._run(
            node, {str(v.name): a for v, a in zip(filter(None, node.inputs), inputs, strict=True)}
        )

    def _small_enough(self, node: ir.Node) -> bool:
        shape = self.shape(node.outputs[0])
        if shape is None or None in shape:
            # Only these say their size by their inputs' values alone, and can be large from small inputs.
            return node.op_type not in ("ConstantOfShape", "Expand", "Range")
        return math.prod(size or 0 for size in shape) <= _MAX_ELEMENTS

    def _run(self, node: ir.Node, feeds: Mapping[str, Any]) -> NDArray[Any]:
        names = list(feeds)
        inputs = [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in names]
        output = onnx.helper.make_value_info(str(node.outputs[0].name), onnx.TypeProto())
        graph = onnx.helper.make_graph([ir.to_proto(node)], "constant", inputs, [output])
        proto = onnx.helper.make_model(graph, opset_imports=self._opset)
        try:
            (value,) = ReferenceEvaluator(proto).run(None, dict(feeds))
        # The evaluator raises whatever numpy does; the graph is at fault in each case.
        except Exception as error:
            raise _contradiction(node, error) from error
        return np.asarray(value)

    def _shape_arithmetic(self, node: ir.Node) -> NDArray[Any] | None:
        """Shape, and Gather or Slice of one, where just the sizes that are taken need to be known."""
        source, output = node.inputs[0], node.outputs[0]
        if source is None:
            return None
        if node.op_type == "Shape":
            sizes = self.shape(source)
            if sizes is None:
                return None
            taken: Shape | int | None = sizes[_attribute(node, "start", 0) : _attribute(node, "end", None)]
        elif source in self._partial:
            taken = self._taken(node, self._partial[source])
        else:
            return None
        if isinstance(taken, tuple) and None in taken:
            self._partial[output] = taken
            return None
        return None if taken is None else np.asarray(taken, np.int64)

    def _taken(self, node: ir.Node, sizes: Shape) -> Shape | int | None:
        places: NDArray[Any] | None = np.arange(len(sizes))
        feeds = {str(v.name): self.constant(v) for v in node.inputs[1:] if v is not None}
        if any(array is None for array in feeds.values()):
            return None
        places = self._run(node, {str(node.inputs[0].name): places, **feeds})  # type: ignore[union-attr]
        return tuple(sizes[i] for i in places) if places.ndim else sizes[int(places)]


def _sizes(tensor: ir.TensorProtocol) -> tuple[int, ...]:
    # A tensor's shape is never symbolic, though its type would allow it.
    return tuple(size for size in tensor.shape if isinstance(size, int))


def _declared_type(value: ir.Value, shape: Shape | None) -> onnx.TypeProto:
    if value.dtype is None or (shape is None and value.shape is None):
        return onnx.TypeProto()
    if shape is None:
        shape = tuple(size if isinstance(size, int) else None for size in value.shape or ())
    return onnx.helper.make_tensor_type_proto(int(value.dtype), shape)


def _constant_node_value(node: ir.Node) -> NDArray[Any]:
    name, attribute = next(iter(node.attributes.items()), ("", None))
    if attribute is None:
        raise _contradiction(node, "no value")
    if name == "value":
        array: NDArray[Any] = attribute.as_tensor().numpy()
        return array
    if name in ("value_int", "value_ints"):
        return np.asarray(attribute.value, np.int64)
    if name in ("value_float", "value_floats"):
        return np.asarray(attribute.value, np.float32)
    raise _contradiction(node, f"attribute {name}")


def _attribute(node: ir.Node, name: str, default: int | None) -> int | None:
    return node.attributes[name].as_int() if name in node.attributes else default


def _contradiction(node: ir.Node, reason: object) -> ModelError:
    lines: Sequence[str] = [line.strip() for line in str(reason).splitlines() if line.strip()] or [
        "no reason given"
    ]
    return ModelError(
        where=f"graph, node {node.name!r} ({node.op_type})",
        expected="an operator of ONNX whose inputs fit each other",
        found=lines[0][:200],
        fix="check the graph with onnx.checker, or export it anew",
    )
