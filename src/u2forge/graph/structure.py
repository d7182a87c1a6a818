"""A graph at one input size → its structure as hash-consed expressions: equal keys mean equal structure.

What does not change the result is not part of it: names, widths, weights, identities, how a size was computed,
batch-norms behind a convolution (noted beside it), and the order of the two terms of an Add.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import onnx_ir as ir

from u2forge.graph.static_values import Shape, StaticValues

Signature = tuple[object, ...]


@dataclass(frozen=True, eq=False)
class Expression:
    """One operation on expressions. signature: the operator and all of its attributes that count."""

    key: int
    signature: Signature
    inputs: tuple[Expression, ...]
    node: ir.Node | None
    batch_norm: ir.Node | None = None

    def __str__(self) -> str:
        return " ".join(str(part) for part in self.signature)


@dataclass(frozen=True)
class Keys:
    """One number for each distinct (signature, inputs); shared by the graphs that are to be compared."""

    numbers: dict[Signature, int] = field(default_factory=dict)

    def of(self, signature: Signature, inputs: tuple[Expression, ...]) -> int:
        """The number of this operation on these inputs, a new one where it was not seen before."""
        keys = [expression.key for expression in inputs]
        if signature[0] == "Add":
            keys.sort()
        return self.numbers.setdefault((signature, *keys), len(self.numbers))


def structure(model: ir.Model, values: StaticValues, *, keys: Keys) -> dict[ir.Value, Expression]:
    """The expression of every value that depends on the picture."""
    found: dict[ir.Value, Expression] = {}
    for value in model.graph.inputs:
        signature = ("input", str(value.dtype), values.shape(value))
        found[value] = Expression(keys.of(signature, ()), signature, (), None)
    for node in model.graph:
        if not node.outputs or values.constant(node.outputs[0]) is not None:
            continue
        first = found[node.outputs[0]] = _expression(node, values, found, keys)
        for index, value in enumerate(node.outputs[1:], start=1):
            part: Signature = (node.op_type, "output", index)
            found[value] = Expression(keys.of(part, (first,)), part, (first,), node)
    return found


def operator_counts(model: ir.Model, values: StaticValues) -> Counter[str]:
    """How often each operator stands in the graph, but for those whose result is constant."""
    return Counter(n.op_type for n in model.graph if n.outputs and values.constant(n.outputs[0]) is None)


def _expression(
    node: ir.Node, values: StaticValues, found: dict[ir.Value, Expression], keys: Keys
) -> Expression:
    inputs = tuple(found[value] for value in node.inputs if value is not None and value in found)
    if len(inputs) == 1 and is_identity(node, values):
        return inputs[0]
    if len(inputs) == 1 and _normalizes_convolution(node, inputs[0], values):
        below = inputs[0]
        return Expression(below.key, below.signature, below.inputs, below.node, batch_norm=node)
    signature = _signature(node, values)
    return Expression(keys.of(signature, inputs), signature, inputs, node)


def is_identity(node: ir.Node, values: StaticValues) -> bool:
    """Whether the node gives back its first input: Identity, Dropout in inference, Cast to the same type,
    Concat of one tensor, or Resize to the same size. A Dropout whose mask is read is none."""
    if node.domain != "" or not node.inputs or node.inputs[0] is None:
        return False
    if node.op_type == "Dropout":
        mask_read = any(value.uses() or value.is_graph_output() for value in node.outputs[1:])
        return not mask_read and not dropout_trains(node, values)
    if node.op_type == "Cast":
        return values.data_type(node.inputs[0]) == _int(node, "to", 0)
    if node.op_type == "Resize":
        size, source = (_spatial_size(values.shape(value)) for value in (node.outputs[0], node.inputs[0]))
        same = size is not None and size == source and None not in size
        return same and resize_coordinates(node, values) in ("half_pixel", "pytorch_half_pixel")
    return node.op_type == "Identity" or (node.op_type == "Concat" and len(node.inputs) == 1)


def dropout_trains(node: ir.Node, values: StaticValues) -> bool:
    """Whether a Dropout drops anything: since operator set 12 its third input says so, before it never does."""
    mode = node.inputs[2] if len(node.inputs) > 2 else None
    if mode is None:
        return False
    training = values.constant(mode)
    return training is None or bool(training.any())


def _normalizes_convolution(node: ir.Node, below: Expression, values: StaticValues) -> bool:
    """Whether it is a batch-norm in inference, with constant parameters, right on a convolution of its own."""
    return (
        node.op_type == "BatchNormalization"
        and below.signature[0] == "Conv"
        and below.batch_norm is None
        and below.node is not None
        and node.inputs[0] is below.node.outputs[0]
        and len(node.inputs[0].uses()) == 1
        and not node.inputs[0].is_graph_output()
        and all(values.constant(value) is not None for value in node.inputs[1:])
        and not _int(node, "training_mode", 0)
        and len(node.outputs) == 1
    )


def _signature(node: ir.Node, values: StaticValues) -> Signature:
    if node.domain != "":
        return (f"{node.domain}.{node.op_type}",)
    size = _spatial_size(values.shape(node.outputs[0]))
    if node.op_type == "Conv":
        return _convolution_signature(node, values)
    if node.op_type == "MaxPool" and not _int(node, "storage_order", 0):
        # ceil_mode and padding show in the size that comes out; kernel and stride are the rest of it.
        window = (
            _ints(node, "kernel_shape"),
            _ints(node, "strides") or (1, 1),
            _ints(node, "dilations") or (1, 1),
        )
        return ("MaxPool", *window, _ints(node, "pads") or (0, 0, 0, 0), size)
    if node.op_type == "Resize":
        return ("Resize", _text(node, "mode", "nearest"), resize_coordinates(node, values), size)
    if any(values.constant(value) is not None for value in node.inputs) and node.op_type != "Resize":
        return (node.op_type, "with a constant term")
    if node.op_type == "Concat":
        axis = _int(node, "axis", 0)
        rank = len(values.shape(node.outputs[0]) or ())
        return ("Concat", "axis", axis % rank if rank else axis)
    return (node.op_type,)


def _convolution_signature(node: ir.Node, values: StaticValues) -> Signature:
    weight = node.inputs[1]
    shape = values.shape(weight) if weight is not None else None
    constant = all(value is None or values.constant(value) is not None for value in node.inputs[1:])
    if not constant or shape is None:
        return ("Conv", "with computed weights")
    kernel = tuple(shape[2:])
    dilations, strides = _ints(node, "dilations") or (1, 1), _ints(node, "strides") or (1, 1)
    pads = _ints(node, "pads") or (0, 0, 0, 0)
    if _text(node, "auto_pad", "NOTSET").startswith("SAME") and strides == (1, 1):
        # Odd kernels only, as all of U²-Net's are: then both SAME modes pad alike on either side.
        half = tuple(d * ((size or 0) // 2) for d, size in zip(dilations, kernel, strict=True))
        pads = (*half, *half)
    group = _int(node, "group", 1)
    return ("Conv", "kernel", kernel, "dilation", dilations, "stride", strides, "pads", pads, "group", group)


def resize_coordinates(node: ir.Node, values: StaticValues) -> str:
    """How a Resize places pixels, and what else bears on it; pytorch_half_pixel also where half_pixel is the same:
    unless a side of the result is a single pixel."""
    size = _spatial_size(values.shape(node.outputs[0]))
    mode = _text(node, "coordinate_transformation_mode", "half_pixel")
    if _int(node, "antialias", 0):
        return f"{mode}, antialias"
    if mode == "half_pixel" and size is not None and all(side != 1 for side in size):
        mode = "pytorch_half_pixel"
    # A scale that is not the quotient of the sizes would place the pixels by itself.
    scales = values.constant(node.inputs[2]) if len(node.inputs) > 2 else None
    source = _spatial_size(values.shape(node.inputs[0])) if node.inputs[0] is not None else None
    if scales is not None and scales.size and source and size and None not in (*source, *size):
        exact = [float(to or 0) / (of or 1) for to, of in zip(size, source, strict=True)]
        if any(abs(float(s) - e) > 1e-6 * e for s, e in zip(scales[-2:], exact, strict=True)):
            return f"{mode}, scales {scales.tolist()}"
    return mode


def _spatial_size(shape: Shape | None) -> Shape | None:
    return None if shape is None else tuple(shape[2:])


def _int(node: ir.Node, name: str, default: int) -> int:
    return node.attributes[name].as_int() if name in node.attributes else default


def _ints(node: ir.Node, name: str) -> tuple[int, ...]:
    return tuple(node.attributes[name].as_ints()) if name in node.attributes else ()


def _text(node: ir.Node, name: str, default: str) -> str:
    return node.attributes[name].as_string() if name in node.attributes else default
