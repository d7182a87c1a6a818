"""Every layer's integers and every activation's range, worked out once for any choice of float layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.quantize.affine import Affine, activation_affine, quantization_noise
from u2forge.quantize.bias_correction import border_shift, mean_shift, summed_over_inputs
from u2forge.quantize.equalize import Scales, channel_scales, fold_channel_scales, scaled_statistics
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.ranges import Range, range_of
from u2forge.quantize.round_weights import RoundedWeights, round_weights
from u2forge.quantize.tensor_statistics import TensorStatistics
from u2forge.quantize.wiring import check_operators, parameter, quantizable_layers, range_groups, sources

# A layer stays in float where its error along the border is more than this share of what its output varies by. The
# official network has two such layers (5.4 and 0.8; the next has 0.3 and below): in integers, they more than
# double the difference of its maps.
FRAGILE = 0.5
FRAGILE_REASON = (
    "some inputs are large and nearly constant: rounded weights would leave a frame around the picture"
)


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """One convolution. bias: (O,) float32, corrected. weight_snr_db, input_snr_db: signal to quantization noise of its
    weights (each by its input channel's power) and of its input. border_error: what bias correction leaves along the
    picture's border, as a share of what the output varies by (of 1 for logits)."""

    name: str
    weights: RoundedWeights
    bias: NDArray[np.float32]
    weight_snr_db: float
    input_snr_db: float
    border_error: float


@dataclass(frozen=True, eq=False)
class QuantizedLayers:
    """model: the float graph, channels equalized by `scales`; statistics: of its activations; activations: by
    value name; layers: by node name, in graph order."""

    model: ir.Model
    options: QuantizeOptions
    scales: Scales
    statistics: Mapping[str, TensorStatistics]
    activations: Mapping[str, Affine]
    layers: Mapping[str, QuantizedLayer]

    @property
    def fragile(self) -> tuple[str, ...]:
        """The layers that should stay in float in any case: see FRAGILE."""
        return tuple(name for name, layer in self.layers.items() if layer.border_error > FRAGILE)


def quantized_layers(
    model: ir.Model,
    statistics: Mapping[str, TensorStatistics],
    options: QuantizeOptions,
    *,
    custom_ranges: Mapping[str, Range] | None = None,
) -> QuantizedLayers:
    """All that a quantized graph needs. model: an offline float graph, which stays as it is; statistics: of each of its
    `activations`, by name. custom_ranges: replace the calibrated ones, in the units of `model`.

    Raises ModelError where channels are to be equalized and the graph has an operator that this does not know.
    """
    equalized = model.clone()
    scales: Scales = {}
    if options.equalize and not custom_ranges:
        check_operators(model.graph)
        scales = channel_scales(equalized.graph, statistics, strength=options.equalize)
        fold_channel_scales(equalized.graph, scales)
    scaled = scaled_statistics(statistics, scales)
    affines = _activation_affines(equalized.graph, scaled, options, custom_ranges or {})
    layers = {
        str(node.name): _layer(node, scaled, affines, options) for node in quantizable_layers(equalized.graph)
    }
    return QuantizedLayers(equalized, options, scales, scaled, affines, layers)


def _activation_affines(
    graph: ir.Graph,
    statistics: Mapping[str, TensorStatistics],
    options: QuantizeOptions,
    custom_ranges: Mapping[str, Range],
) -> dict[str, Affine]:
    affines: dict[str, Affine] = {}
    for group in range_groups(graph):
        names = [str(value.name) for value in group]
        # Of a group that shares one range, given ones stand for all.
        ranges = [custom_ranges[name] for name in names if name in custom_ranges] or [
            range_of(
                statistics[name], algorithm=options.algorithm, bits=options.bits, scheme=options.activations
            )
            for name in names
        ]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        affine = activation_affine(low, high, bits=options.bits, scheme=options.activations)
        affines |= dict.fromkeys(names, affine)
    return affines


def _layer(
    node: ir.Node,
    statistics: Mapping[str, TensorStatistics],
    affines: Mapping[str, Affine],
    options: QuantizeOptions,
) -> QuantizedLayer:
    weight, bias = parameter(node, 1).const_value, parameter(node, 2).const_value
    assert weight is not None
    assert bias is not None
    assert node.inputs[0] is not None
    names = [str(source.name) for source in sources(node.inputs[0])]
    mean = np.concatenate([statistics[name].mean for name in names])
    power = np.concatenate([statistics[name].second_moment for name in names])
    exact = np.asarray(weight.numpy(), np.float64)
    groups = len(mean) // exact.shape[1]
    rounded = round_weights(
        exact,
        bits=options.weight_bits if options.bits == 8 else 16,
        granularity=options.weight_granularity,
        input_power=_by_group(power, groups, exact),
    )
    error = rounded.values - exact
    mean = _by_group(mean, groups, exact)
    shift = mean_shift(error, mean) if options.bias_correction else 0.0
    # Where nothing but ranges is known, there are no samples.
    samples = [(statistics[name].samples, affines[name]) for name in names if statistics[name].samples.size]
    input_noise = sum(quantization_noise(part, affine) * part.shape[1] for part, affine in samples)
    input_signal = sum(float(np.square(part, dtype=np.float64).mean()) * part.shape[1] for part, _ in samples)
    return QuantizedLayer(
        name=str(node.name),
        weights=rounded,
        bias=(np.asarray(bias.numpy(), np.float64) - shift).astype(np.float32),
        weight_snr_db=_decibels(*(_power(part, _by_group(power, groups, exact)) for part in (exact, error))),
        input_snr_db=_decibels(input_signal, input_noise),
        border_error=_border_error(node, border_shift(error, mean), statistics),
    )


def _border_error(
    node: ir.Node, shift: NDArray[np.float64], statistics: Mapping[str, TensorStatistics]
) -> float:
    variance = 1.0
    for value in _outputs_of(node):
        if str(value.name) in statistics:
            variance = float(statistics[str(value.name)].variance.sum())
            break
    return float(np.sqrt(np.square(shift).sum() / variance)) if variance > 0 else 0.0


def _outputs_of(conv: ir.Node) -> Iterator[ir.Value]:
    """What the convolution's output becomes: as it is, rectified, and added to the block's input."""
    yield conv.outputs[0]
    for use in conv.outputs[0].uses():
        if use.node.op_type == "Relu":
            yield use.node.outputs[0]
            yield from (u.node.outputs[0] for u in use.node.outputs[0].uses() if u.node.op_type == "Add")


def _by_group(figures: NDArray[np.float64], groups: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(I,) as it is where the convolution has one group; else (O, I / groups): the figures of each output's inputs."""
    if groups == 1:
        return figures
    return np.repeat(figures.reshape(groups, -1), weights.shape[0] // groups, axis=0)


def _power(weights: NDArray[np.float64], input_power: NDArray[np.float64]) -> float:
    return float(summed_over_inputs(np.square(weights).sum((2, 3)), input_power).sum())


def _decibels(signal: float, noise: float) -> float:
    return float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else float("inf")
