"""Any parsed network → the graph of an offline model and its manifest, inputs and outputs as they were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from u2forge import __version__
from u2forge.model_file.manifest import Manifest, ShapeRange
from u2forge.passes.change_layout import ChangeLayout
from u2forge.passes.change_types import ChangeTypes, narrowed_types
from u2forge.passes.normalize_input import NormalizeInput
from u2forge.passes.recipes import finished, tensor_graph
from u2forge.passes.reverse_channels import ReverseChannels
from u2forge.precision import PrecisionMode
from u2forge.tensor_spec import ARRAY_LAYOUT, TensorSpec
from u2forge.verbs.quantize_tensors import CalibratedTensors, TensorQuantization, quantize_tensors

if TYPE_CHECKING:
    import onnx_ir

    from u2forge.graph.parsed_network import ParsedNetwork
    from u2forge.graph.static_values import Shape

_PICTURE_AXES = 4
_OPSET_OF_16_BITS = 21


@dataclass(frozen=True)
class InterfaceChanges:
    """What is put in front of and behind a network, by input or output name, from the network to the outside.

    normalized: (mean, variance) of an input that becomes uint8; reversed_channels: inputs; layouts: what inputs and
    outputs become, NCHW or NHWC; types: element types; narrow_64_bits: 64-bit inputs and outputs become 32-bit ones.
    """

    normalized: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = field(default_factory=dict)
    reversed_channels: tuple[str, ...] = ()
    input_layouts: Mapping[str, str] = field(default_factory=dict)
    output_layouts: Mapping[str, str] = field(default_factory=dict)
    input_types: Mapping[str, onnx_ir.DataType] = field(default_factory=dict)
    output_types: Mapping[str, onnx_ir.DataType] = field(default_factory=dict)
    narrow_64_bits: bool = False

    def passes(self, model: onnx_ir.Model) -> list[onnx_ir.passes.InPlacePass]:
        """The passes, in that order, none where nothing changes. model: the graph before, which tells its types."""
        found: list[onnx_ir.passes.InPlacePass] = [
            NormalizeInput(name, mean, variance) for name, (mean, variance) in self.normalized.items()
        ]
        found += [ReverseChannels(name) for name in self.reversed_channels]
        for layout in ("NCHW", "NHWC"):
            inputs = tuple(name for name, to in self.input_layouts.items() if to == layout)
            outputs = tuple(name for name, to in self.output_layouts.items() if to == layout)
            if inputs or outputs:
                found.append(ChangeLayout(layout, inputs, outputs))
        if self.narrow_64_bits:
            narrowed = narrowed_types(model)
            if narrowed.inputs or narrowed.outputs:
                found.append(narrowed)
        inputs_now, outputs_now = (
            {str(value.name): value.dtype for value in values}
            for values in (model.graph.inputs, model.graph.outputs)
        )
        types = ChangeTypes(
            {name: to for name, to in self.input_types.items() if to != inputs_now.get(name)},
            {name: to for name, to in self.output_types.items() if to != outputs_now.get(name)},
        )
        return [*found, types] if types.inputs or types.outputs else found


@dataclass(frozen=True)
class TensorModelRequest:
    """How a network becomes a model. shapes: of its inputs, None within one for an open axis; ranges: how small and
    large open ones may be."""

    name: str
    precision: PrecisionMode
    shapes: Mapping[str, Shape]
    ranges: tuple[ShapeRange, ...] = ()
    fold_batchnorm: bool = True
    changes: InterfaceChanges = field(default_factory=InterfaceChanges)


@dataclass(frozen=True, eq=False)
class TensorModel:
    """A graph and what describes it, ready for write_model."""

    graph: onnx_ir.Model
    manifest: Manifest


def float_model(network: ParsedNetwork, request: TensorModelRequest) -> TensorModel:
    """The network in float32, whatever precision is asked for. Raises ModelError where it cannot have such inputs.

    Its interface is that of pictures where it is a U²-Net whose inputs and outputs are its own.
    """
    example = {name: _example(shape, name, request.ranges) for name, shape in request.shapes.items()}
    source = network.graph(request.shapes, example)
    changes = request.changes.passes(source)
    graph = tensor_graph(
        source, shapes=request.shapes, fold_batchnorm=request.fold_batchnorm, interface=changes
    )
    of_pictures = network.is_u2net and not changes
    manifest = Manifest(
        name=request.name,
        architecture=network.architecture,
        precision=request.precision,
        origin=network.origin,
        inputs=_specs(graph.graph.inputs, request.changes.input_layouts),
        outputs=_specs(graph.graph.outputs, request.changes.output_layouts),
        pre="official" if of_pictures else None,
        post="stretch" if of_pictures else None,
        embedded_preprocessing=False,
        tools={"u2forge": __version__, "onnx": version("onnx"), "onnx-ir": version("onnx-ir")},
        interface="pictures" if of_pictures else "tensors",
        shape_ranges=request.ranges,
    )
    return TensorModel(graph, manifest)


def build_tensor_model(
    network: ParsedNetwork,
    request: TensorModelRequest,
    *,
    calibrated: CalibratedTensors | None = None,
    quantization: TensorQuantization | None = None,
) -> TensorModel:
    """The network as an offline model; calibrated and quantization: of the quantized precisions, for which nothing is
    checked. Raises ModelError, InputError."""
    from u2forge.graph.raise_opset import raise_opset

    model = float_model(network, request)
    if calibrated is None or quantization is None:
        return TensorModel(finished(model.graph, request.precision), model.manifest)
    graph = model.graph
    if quantization.options.bits == 16 and not network.is_u2net:
        graph = raise_opset(graph, _OPSET_OF_16_BITS, where=f"network {network.name!r}")
    graph, record = quantize_tensors(graph, calibrated, quantization)
    return TensorModel(graph, replace(model.manifest, quantization=record))


def with_outputs_of(manifest: Manifest, graph: onnx_ir.Model) -> Manifest:
    """The manifest of a graph that has further outputs, to calibrate with: no longer one of pictures."""
    outputs = _specs(graph.graph.outputs, {})
    return replace(manifest, outputs=outputs, interface="tensors", pre=None, post=None)


def _specs(values: Sequence[onnx_ir.Value], layouts: Mapping[str, str]) -> tuple[TensorSpec, ...]:
    specs = []
    for value in values:
        name = str(value.name)
        sizes = tuple(size if isinstance(size, int) else None for size in value.shape or ())
        layout = layouts.get(name, "NCHW") if len(sizes) == _PICTURE_AXES else ARRAY_LAYOUT
        assert value.dtype is not None
        specs.append(TensorSpec(name, sizes, value.dtype.numpy().name, layout))
    return tuple(specs)


def _example(shape: Shape, name: str, ranges: Sequence[ShapeRange]) -> tuple[int, ...]:
    """Sizes for the open axes, too: the smallest that are allowed, or 1 picture of 64 × 64."""
    smallest = next((found.smallest for found in ranges if found.name == name), None)
    if smallest is not None:
        return smallest
    return tuple((1 if axis == 0 else 64) if size is None else size for axis, size in enumerate(shape))
