"""A network → where each tensor lies.

Concatenation is placement: its parts are written where they are joined. A residual that is read for the last time lies
where its sum is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from u2forge.native.network import Computation, Join, Network, Tensor
from u2forge.native.plan import Buffer, Kind, Layout, View


@dataclass(frozen=True, eq=False)
class Placement:
    """buffers; views: where each tensor lies in them; computations: the network's without its joins, with copies
    where a tensor must lie in two places."""

    buffers: tuple[Buffer, ...]
    views: Mapping[Tensor, View]
    computations: tuple[Computation, ...]


def placed(network: Network, *, sums_in_place: bool) -> Placement:
    """A buffer for each tensor that has no place in another one's. The model's inputs and outputs have their own.

    sums_in_place: sums may be written over their residuals. Such a step gives its answer once only: not for who does it
    again to measure it.
    """
    builder = _Builder(network)
    for operation in network.operations:
        if isinstance(operation, Join):
            builder.join(operation)
        else:
            builder.computations.append(operation)
    outputs = builder.separate_outputs(network)
    if sums_in_place:
        builder.add_in_place()
    return builder.placement(network, outputs)


class _Builder:
    def __init__(self, network: Network) -> None:
        self.computations: list[Computation] = []
        # Callers give and take these arrays, each by itself.
        self._own = {*network.inputs, *network.outputs}
        self._homes: dict[Tensor, tuple[Tensor, int]] = {}

    def join(self, join: Join) -> None:
        """Gives each part its place in the joined tensor, or copies it there where it has a place already."""
        first = 0
        for index, part in enumerate(join.parts):
            if part in self._homes or part in self._own:
                part = self._copy(part, f"{join.name}.copy{index}")
            self._homes[part] = (join.target, first)
            first += part.count

    def separate_outputs(self, network: Network) -> list[Tensor]:
        """The tensors that the outputs are, a copy where one is an input, or another output, too."""
        found: list[Tensor] = []
        for index, tensor in enumerate(network.outputs):
            taken = tensor in network.inputs or tensor in found
            found.append(self._copy(tensor, f"output{index}.copy") if taken else tensor)
        return found

    def add_in_place(self) -> None:
        """Gives each residual that a convolution is the last to read the place of its sum: pixel by pixel, it is read
        before that is written."""
        last_reader: dict[Tensor, Computation] = {}
        for step in self.computations:
            for tensor in _read(step):
                last_reader[tensor] = step
        # Parts of a joined tensor may be read later than it is.
        bound = {*self._own, *self._homes, *(joined for joined, _ in self._homes.values())}
        for tensor, step in last_reader.items():
            added = step.kind is Kind.CONVOLUTION and tensor is step.residual and tensor is not step.source
            if added and tensor not in bound:
                self._homes[tensor] = (step.target, 0)

    def _copy(self, tensor: Tensor, name: str) -> Tensor:
        kind = Kind.COPY if tensor.layout is Layout.BLOCKED else Kind.COPY_PLANAR
        target = replace(tensor, name=name)
        self.computations.append(Computation(kind, name, tensor, target))
        return target

    def placement(self, network: Network, outputs: list[Tensor]) -> Placement:
        numbers: dict[Tensor, int] = {}
        views: dict[Tensor, View] = {}
        for tensor in [*network.inputs, *(each for step in self.computations for each in _written(step))]:
            root, first = self._root(tensor)
            number = numbers.setdefault(root, len(numbers))
            views[tensor] = View(number, first, tensor.count)
            # What joins it is read as a whole.
            while tensor in self._homes:
                tensor, _ = self._homes[tensor]
                views[tensor] = View(number, self._root(tensor)[1], tensor.count)
        buffers = tuple(
            Buffer(
                tensor.layout,
                tensor.count,
                tensor.height,
                tensor.width,
                input_index=_index(network.inputs, tensor),
                output_index=_index(outputs, tensor),
            )
            for tensor in numbers
        )
        return Placement(buffers, views, tuple(self.computations))

    def _root(self, tensor: Tensor) -> tuple[Tensor, int]:
        """The tensor of its own buffer that this one has its place in, and where."""
        first = 0
        while tensor in self._homes:
            tensor, offset = self._homes[tensor]
            first += offset
        return tensor, first


def _read(step: Computation) -> tuple[Tensor, ...]:
    return (step.source,) if step.residual is None else (step.source, step.residual)


def _written(step: Computation) -> tuple[Tensor, ...]:
    return (step.target,) if step.pooled is None else (step.target, step.pooled)


def _index(tensors: tuple[Tensor, ...] | list[Tensor], tensor: Tensor) -> int | None:
    return next((index for index, each in enumerate(tensors) if each is tensor), None)
