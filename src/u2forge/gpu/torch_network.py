"""TorchNetwork: an offline model's graph as a PyTorch module, on PyTorch's own kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from u2forge.errors import ModelError
from u2forge.gpu.convolutions import Convolver, Window, convolver_for
from u2forge.gpu.graph_operators import Apply, apply_of, convolution_window, operands, refused
from u2forge.graph.static_values import StaticValues
from u2forge.native.refusal import node_name

Tensors = Mapping[str, torch.Tensor]
# Logits and pictures have fewer channels than that: what is computed of them alone costs nothing in float32.
_FEW_CHANNELS = 8


@dataclass(frozen=True, eq=False)
class Operation:
    """One executed node. arguments: positions in the network's list of values, None for an input that is absent;
    forget: values that nothing reads after it. precision: of a convolution, what it computes in."""

    name: str
    operator: str
    apply: Apply
    arguments: tuple[int | None, ...]
    result: int
    forget: tuple[int, ...] = ()
    precision: torch.dtype | None = None


class TorchNetwork(nn.Module):
    """Called with the model's inputs by name (as its graph declares them), it gives the outputs by name, float32.

    Convolutions multiply in `dtype`; pictures before their first one, and logits, stay in float32. Memory is
    channels-last. Any batch; height and width are the graph's.
    """

    def __init__(
        self,
        model: ir.Model,
        *,
        device: torch.device = torch.device("cpu"),  # noqa: B008, it cannot change
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """model: a valid one (read_onnx checks that of a file). Raises EngineError on a graph that has other operators
        than ours, ModelError on contradictory shapes."""
        super().__init__()
        builder = _Builder(model, convolver_for(device, dtype), convolver_for(device, torch.float32))
        self.operations = builder.operations
        self.inputs = builder.inputs
        self.outputs = builder.outputs
        self._count = builder.count
        self._constants = builder.constants
        for position, constant in builder.constants.items():
            self.register_buffer(f"constant_{position}", constant.to(device), persistent=False)

    def forward(self, inputs: Tensors) -> dict[str, torch.Tensor]:
        """The outputs by name."""
        walk = self.walk(inputs)
        while True:
            try:
                next(walk)
            except StopIteration as end:
                outputs: dict[str, torch.Tensor] = end.value
                return outputs

    def walk(
        self, inputs: Tensors
    ) -> Generator[tuple[Operation, Callable[[], torch.Tensor]], None, dict[str, torch.Tensor]]:
        """Each operation before it is done, with what does it; in the end the outputs by name. Whoever walks may do it
        himself any number of times: it changes nothing."""
        values: list[torch.Tensor | None] = [None] * self._count
        for position in self._constants:
            values[position] = getattr(self, f"constant_{position}")
        for name, position in self.inputs.items():
            values[position] = inputs[name]
        for operation in self.operations:
            call = partial(
                operation.apply, *(None if each is None else values[each] for each in operation.arguments)
            )
            yield operation, call
            values[operation.result] = call()
            del call
            for position in operation.forget:
                values[position] = None
        return {name: _as_output(values[position]) for name, position in self.outputs.items()}

    def precisions(self) -> Counter[torch.dtype]:
        """How many convolutions compute in which type."""
        return Counter(each.precision for each in self.operations if each.precision is not None)


def _as_output(value: torch.Tensor | None) -> torch.Tensor:
    assert value is not None
    return value.float().contiguous()


class _Builder:
    """One sweep over a graph: constants are computed, the rest becomes operations."""

    def __init__(self, model: ir.Model, usual: Convolver, exact: Convolver) -> None:
        """exact: for convolutions of logits alone."""
        self._usual = usual
        self._exact = exact
        self._values = StaticValues(model)
        self._positions: dict[ir.Value, int] = {}
        self._computed: dict[ir.Value, torch.Tensor] = {}
        self.constants: dict[int, torch.Tensor] = {}
        self.count = 0
        self.inputs = {str(value.name): self._position(value) for value in model.graph.inputs}
        self.operations: list[Operation] = []
        for node in model.graph:
            self._visit(node)
        self.outputs = {str(value.name): self._read(value) for value in model.graph.outputs}
        self.operations = list(_forgetting(self.operations, kept={*self.constants, *self.outputs.values()}))

    def _visit(self, node: ir.Node) -> None:
        if len(node.outputs) != 1:
            raise refused(node, expected="one output", found=f"with {len(node.outputs)} outputs")
        output = node.outputs[0]
        if self._values.constant(output) is not None:
            return
        rectified = self._rectified(node)
        if rectified is not None:
            self._positions[output] = self._positions[rectified]
            return
        constant = [self._constant(value) for value in node.inputs]
        if node.op_type == "Conv" and node.domain == "":
            self._convolution(node, constant)
        elif all(
            given is not None for value, given in zip(node.inputs, constant, strict=True) if value is not None
        ):
            read = [self._constant(value) for value in operands(node)]
            self._computed[output] = apply_of(node, self._values)(*read)
        else:
            self._append(node, apply_of(node, self._values), operands(node))

    def _convolution(self, node: ir.Node, constant: Sequence[torch.Tensor | None]) -> None:
        weight, bias = constant[1], (constant[2] if len(constant) > 2 else None)
        if (
            weight is None
            or weight.dim() != 4
            or (bias is None and len(node.inputs) > 2 and node.inputs[2] is not None)
        ):
            raise refused(
                node, expected="constant weights of four dimensions, and a constant bias", found="without"
            )
        window = convolution_window(node, tuple(weight.shape[2:]))
        of_logits = weight.shape[2:].numel() == 1 and weight.shape[1] < _FEW_CHANNELS
        convolver = self._exact if of_logits else self._usual
        reader = _only_reader(node.outputs[0])
        rectifies = reader is not None and reader.op_type == "Relu" and reader.domain == ""
        gives_logits = not rectifies and weight.shape[0] < _FEW_CHANNELS
        kept = weight.to(convolver.dtype).to(convolver.stored, memory_format=torch.channels_last)
        arguments = (
            self._read(node.inputs[0]),
            self._keep(kept),
            None if bias is None else self._keep(bias.to(convolver.stored)),
        )
        apply = _convolution(convolver, window, rectifies=rectifies, gives_logits=gives_logits)
        self._finish(node, apply, arguments, precision=convolver.dtype)

    def _rectified(self, node: ir.Node) -> ir.Value | None:
        """The convolution's result that a Relu rectifies, where the convolution has done so."""
        if node.op_type != "Relu" or node.domain != "" or node.inputs[0] is None:
            return None
        below = node.inputs[0].producer()
        does = below is not None and below.op_type == "Conv" and below.domain == ""
        return node.inputs[0] if does and _only_reader(node.inputs[0]) is node else None

    def _append(self, node: ir.Node, apply: Apply, inputs: Sequence[ir.Value | None]) -> None:
        self._finish(node, apply, tuple(None if value is None else self._read(value) for value in inputs))

    def _finish(
        self,
        node: ir.Node,
        apply: Apply,
        arguments: tuple[int | None, ...],
        precision: torch.dtype | None = None,
    ) -> None:
        result = self._position(node.outputs[0])
        self.operations.append(
            Operation(node_name(node), node.op_type, apply, arguments, result, precision=precision)
        )

    def _read(self, value: ir.Value | None) -> int:
        assert value is not None
        if value in self._positions:
            return self._positions[value]
        constant = self._constant(value)
        if constant is None:
            raise ModelError(
                where=f"graph, value {value.name!r}",
                expected="an input, a constant or what a node before computes",
                found="none of them",
                fix="build the model again",
            )
        self._positions[value] = self._keep(constant)
        return self._positions[value]

    def _keep(self, constant: torch.Tensor) -> int:
        position = self.count
        self.count += 1
        self.constants[position] = constant
        return position

    def _position(self, value: ir.Value) -> int:
        self._positions[value] = self.count
        self.count += 1
        return self._positions[value]

    def _constant(self, value: ir.Value | None) -> torch.Tensor | None:
        if value is None:
            return None
        if value not in self._computed:
            array = self._values.constant(value)
            if array is None:
                return None
            self._computed[value] = _tensor(array)
        return self._computed[value]


def _tensor(array: np.ndarray[Any, np.dtype[Any]]) -> torch.Tensor:
    """Integers as they are; floats in float32."""
    if array.dtype.kind == "f":
        return torch.from_numpy(np.array(array, np.float32))
    # PyTorch computes little with unsigned integers of more than 8 bits.
    return torch.from_numpy(np.array(array, np.int32 if array.dtype.itemsize < 4 else np.int64))


def _convolution(convolver: Convolver, window: Window, *, rectifies: bool, gives_logits: bool) -> Apply:
    def apply(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        result = convolver.convolve(x, weight, bias, window, rectifies)
        return result.float() if gives_logits else result

    return apply


def _only_reader(value: ir.Value) -> ir.Node | None:
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def _forgetting(operations: Sequence[Operation], *, kept: set[int]) -> Iterator[Operation]:
    """The operations, each told which values nobody reads after it."""
    last: dict[int, int] = {}
    for index, operation in enumerate(operations):
        for position in (*operation.arguments, operation.result):
            if position is not None and position not in kept:
                last[position] = index
    for index, operation in enumerate(operations):
        yield replace(operation, forget=tuple(position for position, end in last.items() if end == index))
