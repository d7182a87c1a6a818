"""Each convolution of any ONNX graph with a name, weights and a bias of its own, as quantization needs them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from u2forge.passes.surgery import add_initializer, unused_name

_AXES = 4


class OwnParameters(ir.passes.InPlacePass):
    """Gives every two-dimensional convolution a name that no other node has, a bias (zeros) where it has none, its
    kernel's size and dilations as attributes, and a copy of weights that another node reads, too.

    Left alone: convolutions of more or fewer axes, and those whose weights are computed.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """In graph order."""
        modified = False
        names = {str(node.name) for node in model.graph if node.name}
        seen: set[str] = set()
        for index, node in enumerate(list(model.graph)):
            if not node.name or node.name in seen:
                node.name = _new_name(f"{node.op_type.lower()}.{index}", names)
                names.add(node.name)
                modified = True
            seen.add(str(node.name))
            if has_own_weights(node):
                modified = _complete(model.graph, node) or modified
        return ir.passes.PassResult(model, modified)


def has_own_weights(node: ir.Node) -> bool:
    """Whether it is a two-dimensional convolution in float32 whose weights, and bias if any, are constants."""
    if node.op_type != "Conv" or node.domain != "":
        return False
    parameters = [value for value in node.inputs[1:] if value is not None]
    known = all(
        value.const_value is not None
        and value.const_value.dtype == ir.DataType.FLOAT
        and not value.is_graph_input()
        for value in parameters
    )
    tensor = node.inputs[1].const_value if known and node.inputs[1] is not None else None
    return tensor is not None and len(tensor.shape) == _AXES


def _new_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _complete(graph: ir.Graph, node: ir.Node) -> bool:
    modified = False
    for index, value in enumerate(node.inputs[1:], start=1):
        if value is not None and (len(value.uses()) > 1 or value.is_graph_output()):
            assert value.const_value is not None
            node.replace_input_with(index, add_initializer(graph, str(value.name), value.const_value.numpy()))
            modified = True
    weight = node.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    shape = weight.const_value.numpy().shape
    if len(node.inputs) < 3 or node.inputs[2] is None:
        node.resize_inputs(3)
        name = unused_name(graph, f"{node.name}.bias")
        node.replace_input_with(2, add_initializer(graph, name, np.zeros(shape[0], np.float32)))
        modified = True
    for name, sizes in (("kernel_shape", shape[2:]), ("dilations", (1, 1))):
        if name not in node.attributes:
            node.attributes[name] = ir.AttrInt64s(name, list(sizes))
            modified = True
    return modified
