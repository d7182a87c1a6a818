"""Any network as a program hands it over: a U²-Net by its weights, another one as the graph that it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from u2forge.errors import ModelError
from u2forge.graph.load import Network, export_graph, load_network
from u2forge.graph.raise_opset import raise_opset
from u2forge.graph.read_onnx import read_onnx
from u2forge.graph.static_values import Shape
from u2forge.origin import Origin
from u2forge.weights.checkpoint_format import checkpoint_format
from u2forge.weights.digest import sha256_of

_logger = logging.getLogger(__name__)

FOREIGN = "foreign"
# Reductions have their axes as inputs from here on, which our passes count on.
_OPSET = 18


@dataclass(frozen=True)
class ParsedTensor:
    """An input or output. shape: None within one where a size is open; None where not even their number is known.
    dtype: None where it is not known before the inputs' sizes are."""

    name: str
    shape: Shape | None
    dtype: ir.DataType | None


@dataclass(frozen=True, eq=False)
class ParsedNetwork:
    """architecture: FOREIGN of anything but a U²-Net. graph: the float graph for those input shapes, in which None
    marks an open axis; `example` has a size for each axis. The graph may be more open than asked for."""

    name: str
    architecture: str
    origin: Origin
    inputs: tuple[ParsedTensor, ...]
    outputs: tuple[ParsedTensor, ...]
    graph: Callable[[Mapping[str, Shape], Mapping[str, tuple[int, ...]]], ir.Model]

    @property
    def is_u2net(self) -> bool:
        """Whether it is built from the weights alone, by our own table."""
        return self.architecture != FOREIGN


def network_from_onnx(path: Path) -> ParsedNetwork:
    """The network in an ONNX file. Raises InputError, ModelError where the file is broken."""
    known = recognized(path)
    if known is not None:
        return known
    where = f"graph {path}"
    model = raise_opset(read_onnx(path), _OPSET, where=where)
    return foreign_network(model, name=path.stem, origin=Origin(path.name, "onnx", sha256_of(path)))


def foreign_network(model: ir.Model, *, name: str, origin: Origin) -> ParsedNetwork:
    """The network that a checked graph is."""
    return ParsedNetwork(
        name=name,
        architecture=FOREIGN,
        origin=origin,
        inputs=parsed_tensors(model.graph.inputs),
        outputs=parsed_tensors(model.graph.outputs),
        graph=lambda shapes, example: model,
    )


def recognized(path: Path) -> ParsedNetwork | None:
    """The U²-Net in a checkpoint or graph; None where it holds something else. No code of the file is run.

    Raises InputError where there is no such file, ModelError where it is no ONNX graph and no checkpoint.
    """
    is_checkpoint = checkpoint_format(path) is not None
    try:
        network: Network = load_network(path)
    except ModelError as error:
        if not is_checkpoint:
            read_onnx(path)  # raises where the file is broken: then it is no other network either
        _logger.info("no U²-Net: %s", error)
        return None
    model = export_graph(network)
    return ParsedNetwork(
        name=network.name,
        architecture=network.architecture.name,
        origin=network.origin,
        inputs=parsed_tensors(model.graph.inputs),
        outputs=parsed_tensors(model.graph.outputs),
        graph=lambda shapes, example: model,
    )


def parsed_tensors(values: Iterable[ir.Value]) -> tuple[ParsedTensor, ...]:
    """What the graph says of its inputs or outputs."""
    return tuple(
        ParsedTensor(
            str(value.name),
            None
            if value.shape is None
            else tuple(size if isinstance(size, int) else None for size in value.shape),
            value.dtype,
        )
        for value in values
    )
