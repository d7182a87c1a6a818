"""A float or QDQ graph → the operations that the kernels know, on tensors whose layout is decided.

Blocked are what a rectified 3×3 convolution gives, and sums, maxima, upsampled and joined ones of these; planar are
pictures, and what a 3×3 convolution without rectification, a 1×1 one or a Sigmoid gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from u2forge.graph.static_values import StaticValues
from u2forge.native.convolution_rules import check_pool, convolution_kind, convolution_window
from u2forge.native.look_through import Wiring
from u2forge.native.network import Computation, Join, Network, Operation, Tensor
from u2forge.native.plan import GROUP, Algorithm, Kind, Layout
from u2forge.native.recognize_normalization import recognized_normalization
from u2forge.native.refusal import node_name, refused, refused_value
from u2forge.native.resize_rules import check_resize
from u2forge.native.stored_weights import convolution_weights

# From here on the operators mean what the rules here take them to mean.
_LEAST_OPSET = 13


def recognized_network(model: ir.Model) -> Network:
    """The graph's operations, in its order. model: of one input of fixed height and width.

    Raises EngineError on anything that the kernels do not compute, by the name of its node.
    """
    opset = model.opset_imports.get("", 0)
    if opset < _LEAST_OPSET:
        raise refused_value("graph", expected=f"operator set {_LEAST_OPSET} or later", found=str(opset))
    values = StaticValues(model)
    wiring = Wiring(model.graph, values)
    sweep = _Sweep(wiring, values)
    inputs = tuple(sweep.input(value) for value in _one_input(wiring))
    for node in wiring.computing:
        sweep.visit(node)
    outputs = tuple(
        sweep.output(value, carrier)
        for value, carrier in zip(model.graph.outputs, wiring.outputs, strict=True)
    )
    return Network(inputs, tuple(sweep.operations), outputs)


def _one_input(wiring: Wiring) -> tuple[ir.Value, ...]:
    if len(wiring.inputs) != 1:
        names = ", ".join(repr(value.name) for value in wiring.inputs) or "none"
        raise refused_value("graph", expected="one input", found=names)
    return tuple(wiring.inputs)


class _Sweep:
    """Visits the nodes in graph order and notes what each of them is."""

    def __init__(self, wiring: Wiring, values: StaticValues) -> None:
        self.operations: list[Operation] = []
        self._wiring = wiring
        self._values = values
        self._tensors: dict[ir.Value, Tensor] = {}
        self._rectified: set[Tensor] = set()
        self._done: set[ir.Node] = set()
        self._visitors: Mapping[str, Callable[[ir.Node], None]] = {
            "Add": self._add,
            "Concat": self._concat,
            "Conv": self._convolution,
            "MaxPool": self._pool,
            "Relu": self._relu,
            "Resize": self._resize,
            "Sigmoid": self._sigmoid,
        }

    def input(self, value: ir.Value) -> Tensor:
        shape, kind = self._values.shape(value), self._values.data_type(value)
        sizes = None if shape is None or len(shape) != 4 else shape[1:]
        if sizes is None or not all(sizes) or kind not in (ir.DataType.FLOAT, ir.DataType.UINT8):
            raise refused_value(
                f"input {value.name!r}",
                expected="float32 (N, C, H, W) or uint8 (N, H, W, 3) of fixed size",
                found=f"{value.dtype} {value.shape}",
            )
        if kind == ir.DataType.UINT8:
            return self._pixels(value)
        tensor = self._tensors[value] = self._tensor(value, Layout.PLANAR)
        return tensor

    def output(self, value: ir.Value, carrier: ir.Value | None) -> Tensor:
        tensor = None if carrier is None else self._tensors.get(carrier)
        if tensor is None or self._values.data_type(value) != ir.DataType.FLOAT:
            raise refused_value(
                f"output {value.name!r}", expected="float32, computed from the picture", found="another value"
            )
        if tensor.layout is not Layout.PLANAR:
            raise refused_value(
                f"output {value.name!r}",
                expected="what a convolution without Relu, or a Sigmoid, gives",
                found=f"the rectified channels {tensor.name!r}",
            )
        return tensor

    def visit(self, node: ir.Node) -> None:
        if node in self._done:
            return
        visitor = None if node.domain else self._visitors.get(str(node.op_type))
        if visitor is None:
            raise refused(node, expected=f"one of the operators {', '.join(self._visitors)}", found="")
        if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
            raise refused(node, expected="one output", found=f"with {len(node.outputs)} outputs")
        visitor(node)

    def _pixels(self, value: ir.Value) -> Tensor:
        found = recognized_normalization(value, self._wiring, self._values)
        target = self._tensors[found.result] = self._tensor(found.result, Layout.PLANAR)
        name = str(value.name)
        pixels = Tensor(name, Layout.PIXELS, target.height, target.width, (target.channels,), (name,))
        self.operations.append(
            Computation(Kind.NORMALIZE, name, pixels, target, normalization=found.normalization)
        )
        self._done |= set(found.nodes)
        return pixels

    def _convolution(self, node: ir.Node) -> None:
        (source, *_) = self._operands(node, 1)
        weights = convolution_weights(node, self._values)
        window = convolution_window(node, weights.shape[2:])
        if weights.shape[1] != source.channels:
            raise refused(
                node,
                expected=f"weights for {source.channels} channels",
                found=f"with weights for {weights.shape[1]}",
            )
        output = node.outputs[0]
        readers = self._wiring.readers(output)
        rectified = len(readers) == 1 and _is_relu(readers[0]) and output not in self._wiring.outputs
        kind = convolution_kind(node, window, source, rectified=rectified)
        if rectified:
            target = self._tensor(readers[0].outputs[0], Layout.BLOCKED)
            self._rectified.add(target)
        else:
            target = self._tensor(output, Layout.PLANAR)
        self._tensors[output] = target
        winograd = kind is Kind.CONVOLUTION and window.dilation == 1
        self.operations.append(
            Computation(
                kind,
                node_name(node),
                source,
                target,
                algorithm=Algorithm.WINOGRAD if winograd else Algorithm.DIRECT,
                dilation=window.dilation,
                weights=weights,
            )
        )

    def _relu(self, node: ir.Node) -> None:
        (source,) = self._operands(node, 1)
        if source not in self._rectified:
            raise refused(
                node,
                expected="the output of a 3×3 convolution that nothing else reads",
                found=f"of {source.name!r}",
            )
        self._rectified.discard(source)
        self._tensors[node.outputs[0]] = source

    def _add(self, node: ir.Node) -> None:
        first, second = self._operands(node, 2)
        for operand in (first, second):
            if operand.layout is not Layout.BLOCKED:
                raise refused(node, expected="rectified channels as both terms", found=f"of {operand.name!r}")
            if any(channels % GROUP for channels in operand.segments[:-1]):
                raise refused(
                    node,
                    expected=f"terms whose parts are multiples of {GROUP} channels",
                    found=f"of {operand.name!r}, joined of {operand.segments}",
                )
        if _size(first) != _size(second):
            raise refused(
                node, expected="terms of one shape", found=f"of shapes {_size(first)} and {_size(second)}"
            )
        target = self._tensors[node.outputs[0]] = self._tensor(node.outputs[0], Layout.BLOCKED)
        self.operations.append(Computation(Kind.ADD, node_name(node), first, target, residual=second))

    def _pool(self, node: ir.Node) -> None:
        (source,) = self._operands(node, 1)
        if source.layout is not Layout.BLOCKED:
            raise refused(node, expected="rectified channels as its input", found=f"of {source.name!r}")
        check_pool(node, self._values)
        self._mixing(node, Kind.POOL, source)

    def _resize(self, node: ir.Node) -> None:
        source, *others = self._operands(node, 1, at_least=True)
        check_resize(node, self._values)
        if others:
            raise refused(node, expected="a constant size", found="to a size that is computed")
        self._mixing(node, Kind.RESIZE if source.layout is Layout.BLOCKED else Kind.RESIZE_PLANAR, source)

    def _sigmoid(self, node: ir.Node) -> None:
        (source,) = self._operands(node, 1)
        if source.layout is not Layout.PLANAR:
            raise refused(node, expected="logits as its input", found=f"of {source.name!r}")
        target = self._tensors[node.outputs[0]] = self._tensor(node.outputs[0], Layout.PLANAR)
        self.operations.append(Computation(Kind.SIGMOID, node_name(node), source, target))

    def _mixing(self, node: ir.Node, kind: Kind, source: Tensor) -> None:
        """A step that gives, channel by channel, mixtures of its input's values: their ranges stay."""
        target = self._tensor(node.outputs[0], source.layout, like=(source,))
        self._tensors[node.outputs[0]] = target
        self.operations.append(Computation(kind, node_name(node), source, target))

    def _concat(self, node: ir.Node) -> None:
        parts = self._operands(node, len(node.inputs))
        axis = node.attributes.get_int("axis", 0)
        if axis not in (1, -3):
            raise refused(node, expected="axis 1, the channels", found=f"along axis {axis}")
        layouts = {part.layout for part in parts}
        if len(layouts) > 1:
            raise refused(
                node,
                expected="parts that are all rectified, or all not",
                found="of " + ", ".join(f"{part.name!r}" for part in parts),
            )
        target = self._tensor(node.outputs[0], layouts.pop(), like=parts)
        self._tensors[node.outputs[0]] = target
        self.operations.append(Join(node_name(node), parts, target))

    def _operands(self, node: ir.Node, count: int, *, at_least: bool = False) -> tuple[Tensor, ...]:
        """The tensors that a node reads: its first `count` inputs, all of which must be some."""
        carriers = tuple(self._wiring.carriers(node))
        found = [None if value is None else self._tensors.get(value) for value in carriers]
        tensors = tuple(tensor for tensor in found if tensor is not None)
        if len(tensors) < count or (len(tensors) > count and not at_least) or None in found[:count]:
            names = ", ".join(repr(value.name) for value in node.inputs if value is not None)
            raise refused(
                node,
                expected=f"{count} input{'s' if count > 1 else ''} that depend{'' if count > 1 else 's'}"
                " on the picture, all else constant",
                found=f"of {names}",
            )
        return tensors

    def _tensor(self, value: ir.Value, layout: Layout, *, like: tuple[Tensor, ...] = ()) -> Tensor:
        """A tensor for a value. like: those whose parts, one after the other, are its own."""
        shape = self._values.shape(value)
        name = str(value.name)
        if shape is None or len(shape) != 4 or not all(shape[1:]):
            raise refused_value(f"value {name!r}", expected="a fixed height and width", found=str(shape))
        channels, height, width = (int(size or 0) for size in shape[1:])
        if like and layout is Layout.BLOCKED:
            segments = tuple(channels for part in like for channels in part.segments)
            sources = tuple(source for part in like for source in part.sources)
            return Tensor(name, layout, height, width, segments, sources)
        return Tensor(name, layout, height, width, (channels,), (name,))


def _is_relu(node: ir.Node) -> bool:
    return node.op_type == "Relu" and node.domain == ""


def _size(tensor: Tensor) -> tuple[int, int, int]:
    return tensor.channels, tensor.height, tensor.width
