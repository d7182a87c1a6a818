"""Where the values that convolutions read come from: which tensors carry the activations, channel by channel."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from u2forge.passes.refusal import RefusedGraphError

# They give, channel by channel, a mixture of values of their input: they scale with it and never leave its range.
_MIXING = frozenset({"MaxPool", "Resize"})
_COMPUTING = frozenset({"Conv", "Relu", "Add", "Sigmoid"})


def check_operators(graph: ir.Graph) -> None:
    """Raises ModelError on an operator whose effect on ranges is not known here."""
    for node in graph:
        if node.op_type not in _MIXING | _COMPUTING | {"Concat"} and not _before_the_network(node):
            raise RefusedGraphError(
                where=f"quantization, node {node.name!r}",
                expected=f"one of the operators {', '.join(sorted(_MIXING | _COMPUTING | {'Concat'}))}",
                found=str(node.op_type),
                fix="quantize the float graph of a U²-Net, as `u2forge build` makes it",
            )


def _before_the_network(node: ir.Node) -> bool:
    """Whether it belongs to the preprocessing inside the graph, or restores weights."""
    return (node.name or "").startswith("preprocess.")


def network_input(graph: ir.Graph) -> ir.Value:
    """The normalised picture: what the first convolution reads."""
    first = next(node for node in graph if node.op_type == "Conv")
    value = first.inputs[0]
    assert value is not None
    return value


def sources(value: ir.Value) -> list[ir.Value]:
    """The values that `value`'s channels come from, in their order, through pooling, resizing and concatenation."""
    node = value.producer()
    if node is None or (node.op_type not in _MIXING and node.op_type != "Concat"):
        return [value]
    inputs = node.inputs[:1] if node.op_type in _MIXING else node.inputs
    return [source for part in inputs if part is not None for source in sources(part)]


def quantizable_layers(graph: ir.Graph) -> list[ir.Node]:
    """The convolutions whose inputs are activations: those of pictures, of rectified sums, of residual sums.

    The one left out reads logits (the fusing convolution): see FUSING_REASON.
    """
    return [node for node in graph if node.op_type == "Conv" and _reads_activations(node, graph)]


FUSING_REASON = "it fuses logits, which have no range of their own, and takes less than 0.01 % of the work"


def _reads_activations(conv: ir.Node, graph: ir.Graph) -> bool:
    assert conv.inputs[0] is not None
    picture = network_input(graph)
    return all(source is picture or _is_activation(source) for source in sources(conv.inputs[0]))


def _is_activation(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type in ("Relu", "Add")


def activations(graph: ir.Graph) -> list[ir.Value]:
    """Every value that the quantizable convolutions' channels come from, in graph order; the picture first."""
    found = {
        source: None
        for layer in quantizable_layers(graph)
        for source in sources(_input(layer))
        if source is not None
    }
    picture = network_input(graph)
    ordered = [value for node in graph for value in node.outputs if value in found and value is not picture]
    return [picture, *ordered]


def layers_reading(value: ir.Value) -> Iterator[ir.Node]:
    """The convolutions that read the value, directly or through pooling, resizing and concatenation."""
    for use in value.uses():
        if use.node.op_type == "Conv" and use.idx == 0:
            yield use.node
        elif use.node.op_type in _MIXING | {"Concat"}:
            yield from layers_reading(use.node.outputs[0])


def range_groups(graph: ir.Graph) -> list[list[ir.Value]]:
    """The activations in groups that share one range, as concatenation of integers needs it."""
    group_of = {value: [value] for value in activations(graph)}
    for node in graph:
        if node.op_type != "Concat":
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
