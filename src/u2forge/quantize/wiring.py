"""Where the values that convolutions read come from: which tensors carry the activations, channel by channel."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from u2forge.passes.own_parameters import has_own_weights
from u2forge.passes.refusal import RefusedGraphError

# They give, channel by channel, a mixture of values of their input: they scale with it and never leave its range.
_MIXING = frozenset({"MaxPool", "Resize"})
_COMPUTING = frozenset({"Conv", "Relu", "Add", "Sigmoid"})


def check_operators(graph: ir.Graph) -> None:
    """Raises ModelError on an operator whose effect on scaled channels is not known here: equalization needs it."""
    for node in graph:
        if node.op_type not in _MIXING | _COMPUTING | {"Concat"} and not _before_the_network(node):
            raise RefusedGraphError(
                where=f"quantization, node {node.name!r}",
                expected=f"one of the operators {', '.join(sorted(_MIXING | _COMPUTING | {'Concat'}))}",
                found=str(node.op_type),
                fix="quantize the float graph of a U²-Net, as `u2forge build` makes it, or without equalization",
            )


def _before_the_network(node: ir.Node) -> bool:
    """Whether it belongs to the processing before or behind the network inside the graph."""
    return (node.name or "").startswith(("preprocess.", "postprocess."))


def network_input(graph: ir.Graph) -> ir.Value:
    """The normalised picture: what the first convolution reads."""
    first = next(node for node in graph if node.op_type == "Conv")
    value = first.inputs[0]
    assert value is not None
    return value


def sources(value: ir.Value) -> list[ir.Value]:
    """The values that `value`'s channels come from, in their order, through pooling, resizing and concatenation."""
    node = value.producer()
    if node is None or not (mixes(node) or joins_channels(node)):
        return [value]
    inputs = node.inputs[:1] if mixes(node) else node.inputs
    return [source for part in inputs if part is not None for source in sources(part)]


def mixes(node: ir.Node) -> bool:
    """Whether its output is, channel by channel, a mixture of values of its input."""
    if node.op_type == "Resize":
        mode = node.attributes.get("mode")
        return mode is None or mode.as_string() in ("linear", "nearest")  # cubic leaves the range
    return node.op_type in _MIXING and node.domain == "" and len(node.outputs) == 1


def joins_channels(node: ir.Node) -> bool:
    """Whether it puts the channels of its inputs one behind the other."""
    return node.op_type == "Concat" and node.attributes["axis"].as_int() in (1, -3)


def quantizable_layers(graph: ir.Graph) -> list[ir.Node]:
    """The convolutions with weights of their own whose inputs are activations: see float_reason."""
    return [node for node in graph if node.op_type == "Conv" and float_reason(node) is None]


FUSING_REASON = "it fuses logits: sums of convolutions, joined or enlarged, which have no range of their own"
WEIGHTS_REASON = "it is no two-dimensional convolution of float32 weights that are constant"


def float_reason(conv: ir.Node) -> str | None:
    """Why a convolution cannot be quantized, None where it can.

    Not with logits: sums of convolutions that are resized or concatenated before it reads them. Read directly, such a
    sum is an activation like those that are rectified or added.
    """
    value = conv.inputs[0]
    assert value is not None
    if not has_own_weights(conv):
        return WEIGHTS_REASON
    found = sources(value)
    if any(source.const_value is not None for source in found):
        return WEIGHTS_REASON
    if found != [value] and any(_is_sum(source) for source in found):
        return FUSING_REASON
    return None


def _is_sum(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul")


def activations(graph: ir.Graph) -> list[ir.Value]:
    """Every value that the quantizable convolutions' channels come from, in graph order, inputs first."""
    found = {
        source: None
        for layer in quantizable_layers(graph)
        for source in sources(_input(layer))
        if source is not None
    }
    return [value for value in all_values(graph) if value in found]


def all_values(graph: ir.Graph) -> list[ir.Value]:
    """The inputs, and all that the nodes give, in graph order."""
    return [*graph.inputs, *(value for node in graph for value in node.outputs)]


def layers_reading(value: ir.Value) -> Iterator[ir.Node]:
    """The convolutions that read the value, directly or through pooling, resizing and concatenation."""
    for use in value.uses():
        if use.node.op_type == "Conv" and use.idx == 0:
            yield use.node
        elif (use.idx == 0 and mixes(use.node)) or joins_channels(use.node):
            yield from layers_reading(use.node.outputs[0])


def range_groups(graph: ir.Graph) -> list[list[ir.Value]]:
    """The activations in groups that share one range, as concatenation of integers needs it."""
    group_of = {value: [value] for value in activations(graph)}
    for node in graph:
        if not joins_channels(node):
            continue
        parts = [part for part in sources(node.outputs[0]) if part in group_of]
        for part in parts[1:]:
            first, other = group_of[parts[0]], group_of[part]
            if first is not other:
                first += other
                group_of |= dict.fromkeys(other, first)
    unique = {id(group): group for group in group_of.values()}
    return list(unique.values())


def _input(layer: ir.Node) -> ir.Value:
    value = layer.inputs[0]
    assert value is not None
    return value


def parameter(node: ir.Node, index: int) -> ir.Value:
    """A convolution's weights (1) or bias (2), which our graphs always have as an initializer of its own."""
    value = node.inputs[index]
    assert value is not None
    assert value.const_value is not None
    return value
