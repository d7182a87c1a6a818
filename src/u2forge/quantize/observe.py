"""A float graph that also tells what calibration needs of its activations, as one small tensor for each picture.

The reductions run inside the engine, so that no full activation ever leaves it: memory does not grow with
the size of the network's maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.graph.static_values import StaticValues
from u2forge.passes.refusal import RefusedGraphError
from u2forge.passes.surgery import add_initializer
from u2forge.quantize.tensor_statistics import StatisticsBuilder, TensorStatistics
from u2forge.quantize.winograd import add_tile_maximum
from u2forge.quantize.wiring import activations, quantizable_layers

STATISTICS_NAME = "statistics"
_FIGURES = ("low", "high", "mean", "second_moment")


@dataclass(frozen=True)
class Observed:
    """One observed value; its figures are `figures` rows of `channels` from `start` in the statistics tensor."""

    name: str
    kind: str
    channels: int
    figures: int
    start: int

    @property
    def end(self) -> int:
        """The place behind its last figure."""
        return self.start + self.channels * self.figures

    def rows(self, statistics: NDArray[np.float32]) -> NDArray[np.float32]:
        """(figures, channels) of a picture's statistics tensor."""
        return statistics.reshape(-1)[self.start : self.end].reshape(self.figures, self.channels)


@dataclass(frozen=True, eq=False)
class Observation:
    """model: outputs d0, then `statistics` float32 (1, 1, 1, L). observed: what lies where in it."""

    model: ir.Model
    observed: tuple[Observed, ...]
    length: int


def observation(model: ir.Model, *, grid: int, native_ranges: bool) -> Observation:
    """The graph to calibrate with. model: an offline float graph of fixed batch and size, which stays as it is.

    grid: a picture gives a sample of grid × grid pixels of each activation; the pictures of a batch count as one.
    native_ranges, with batch 1: also observe what integer kernels of the Winograd form need (see winograd.py).
    """
    observed_model = model.clone()
    graph = observed_model.graph
    shapes = StaticValues(observed_model)
    writer = _Writer(graph, shapes, grid)
    wanted = activations(graph)
    layers = quantizable_layers(graph)
    for value in wanted:
        writer.activation(value)
    if native_ranges:
        for layer in layers:
            writer.extremes(layer.outputs[0])
        for value in _leaves(layers):
            writer.tiles(value)
    graph.outputs.append(writer.joined())
    return Observation(observed_model, tuple(writer.observed), writer.length)


def _leaves(layers: Sequence[ir.Node]) -> list[ir.Value]:
    """The values that 3×3 convolutions without dilation read, with concatenations taken apart, once each."""
    found: dict[ir.Value, None] = {}
    for layer in layers:
        if (
            layer.attributes["kernel_shape"].as_ints()[0] == 3
            and layer.attributes["dilations"].as_ints()[0] == 1
        ):
            found |= dict.fromkeys(leaves(layer.inputs[0]))
    return list(found)


def leaves(value: ir.Value | None) -> Iterator[ir.Value]:
    """The parts that a value is concatenated of; itself where it is none."""
    assert value is not None
    node = value.producer()
    if node is not None and node.op_type == "Concat":
        for part in node.inputs:
            yield from leaves(part)
    else:
        yield value


class _Writer:
    """Appends reductions to a graph; their results are joined into one tensor at the end."""

    def __init__(self, graph: ir.Graph, shapes: StaticValues, grid: int) -> None:
        self.observed: list[Observed] = []
        self.length = 0
        self._graph = graph
        self._shapes = shapes
        self._grid = grid
        self._parts: list[ir.Value] = []
        self._space = add_initializer(graph, "observe.axes", np.array([2, 3]))
        self._row = add_initializer(graph, "observe.row", np.array([1, 1, 1, -1]))

    def activation(self, value: ir.Value) -> None:
        batch, channels, height, width = self._sizes(value)
        axes = self._space if batch == 1 else self._constant(np.array([0, 2, 3]))
        squared = self._node("Mul", [value, value])
        parts = [
            self._node("ReduceMin", [value, axes], keepdims=1),
            self._node("ReduceMax", [value, axes], keepdims=1),
            self._node("ReduceMean", [value, axes], keepdims=1),
            self._node("ReduceMean", [squared, axes], keepdims=1),
        ]
        rows, columns = (_places(size, self._grid) for size in (height, width))
        sampled = self._node("Gather", [value, self._constant(rows)], axis=2)
        sampled = self._node("Gather", [sampled, self._constant(columns)], axis=3)
        # Pixels first, so that a row holds all channels of one of them.
        parts.append(self._node("Transpose", [sampled], perm=[0, 2, 3, 1]))
        self._note(value, "activation", channels, len(_FIGURES) + batch * len(rows) * len(columns), parts)

    def extremes(self, value: ir.Value) -> None:
        channels, _, _ = self._size(value)
        parts = [self._node(f"Reduce{end}", [value, self._space], keepdims=1) for end in ("Min", "Max")]
        self._note(value, "pre_activation", channels, 2, parts)

    def tiles(self, value: ir.Value) -> None:
        channels, height, width = self._size(value)
        size = (channels, height, width)
        maximum = add_tile_maximum(self._graph, value, size, node=self._node, space=self._space)
        # The grouped convolution gives all positions of one channel after the other.
        maximum = self._node("Reshape", [maximum, self._constant(np.array([channels, 36]))])
        self._note(value, "tiles", channels, 36, [self._node("Transpose", [maximum], perm=[1, 0])])

    def joined(self) -> ir.Value:
        flat = [self._node("Reshape", [part, self._row]) for part in self._parts]
        joined = self._node("Concat", flat, axis=3)
        joined.name = STATISTICS_NAME
        joined.shape, joined.type = ir.Shape([1, 1, 1, self.length]), ir.TensorType(ir.DataType.FLOAT)
        return joined

    def _note(self, value: ir.Value, kind: str, channels: int, figures: int, parts: list[ir.Value]) -> None:
        found = Observed(str(value.name), kind, channels, figures, self.length)
        self.observed.append(found)
        self.length = found.end
        self._parts += parts

    def _size(self, value: ir.Value) -> tuple[int, int, int]:
        return self._sizes(value)[1:]

    def _sizes(self, value: ir.Value) -> tuple[int, int, int, int]:
        shape = self._shapes.shape(value)
        if shape is None or None in shape:
            raise RefusedGraphError(
                where=f"calibration, activation {value.name!r}",
                expected="a size that is known before any picture is",
                found=f"{shape}",
                fix="fix the sizes of the network's inputs",
            )
        batch, channels, height, width = (size for size in shape if size is not None)
        return batch, channels, height, width

    def _constant(self, array: NDArray[np.int64]) -> ir.Value:
        return add_initializer(self._graph, f"observe.constant.{len(self._graph.initializers)}", array)

    def _node(self, operator: str, inputs: Sequence[ir.Value], **attributes: Any) -> ir.Value:
        name = f"observe.{operator.lower()}.{self._graph.num_nodes()}"
        node = ir.node(operator, list(inputs), attributes, name=name)
        node.outputs[0].name = name
        self._graph.append(node)
        return node.outputs[0]


def _places(size: int, grid: int) -> NDArray[np.int64]:
    """At most `grid` places, evenly spread over `size`, without its ends."""
    count = min(grid, size)
    return ((np.arange(count) + 0.5) * size / count).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What calibration saw. activations: by name; pre_activations: (low, high) by layer output, each (C,);
    tile_maxima: (36, C) by value that Winograd kernels read. The last two only where they were observed."""

    activations: Mapping[str, TensorStatistics]
    pre_activations: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    tile_maxima: Mapping[str, NDArray[np.float64]]


class CalibrationBuilder:
    """Takes each picture's statistics tensor apart and gathers them."""

    def __init__(self, observed: Sequence[Observed]) -> None:
        self.pictures = 0
        self._observed = tuple(observed)
        self._activations: dict[str, StatisticsBuilder] = {}
        self._extremes: dict[tuple[str, str], NDArray[np.float64]] = {}

    def add(self, statistics: NDArray[np.float32]) -> None:
        """Adds one picture. statistics: float32, as the observation's graph gives it."""
        self.pictures += 1
        for item in self._observed:
            rows = item.rows(statistics)
            if item.kind == "activation":
                low, high, mean, second = rows[: len(_FIGURES)].astype(np.float64)
                self._activations.setdefault(item.name, StatisticsBuilder()).add(
                    low=low, high=high, mean=mean, second_moment=second, samples=rows[len(_FIGURES) :].copy()
                )
                continue
            widest = rows.astype(np.float64)
            if item.kind == "pre_activation":
                widest[0] = -widest[0]  # so that the larger one counts for both ends
            known = self._extremes.get((item.kind, item.name))
            self._extremes[item.kind, item.name] = widest if known is None else np.maximum(known, widest)

    def result(self) -> Calibrated:
        """All pictures added so far, of which there must be one."""
        pairs = {name: found for (kind, name), found in self._extremes.items() if kind == "pre_activation"}
        return Calibrated(
            activations={name: builder.result() for name, builder in self._activations.items()},
            pre_activations={name: (-found[0], found[1]) for name, found in pairs.items()},
            tile_maxima={name: found for (kind, name), found in self._extremes.items() if kind == "tiles"},
        )
