"""Quantized layers and a choice of those that stay in float → the finished graph, and what its manifest says of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from u2forge.model_file.quantization_record import (
    AccuracyRecord,
    CalibrationRecord,
    FloatLayer,
    QuantizationRecord,
)
from u2forge.passes.recipes import finished
from u2forge.precision import PrecisionMode
from u2forge.quantize.options import QuantizeOptions
from u2forge.quantize.ranges import Range

if TYPE_CHECKING:
    import onnx_ir

    from u2forge.quantize.observe import Calibrated, Observation
    from u2forge.quantize.quantized_layers import QuantizedLayers


def finished_graph(
    layers: QuantizedLayers,
    calibrated: Calibrated,
    *,
    float_layers: Collection[str],
    precision: PrecisionMode,
) -> onnx_ir.Model:
    """The graph with these layers in float, its weights stored as the precision says."""
    from u2forge.quantize.insert_qdq import quantized_graph
    from u2forge.quantize.native_ranges import add_native_ranges, native_ranges

    graph = finished(quantized_graph(layers, float_layers=float_layers), precision)
    if calibrated.pre_activations:
        add_native_ranges(graph, native_ranges(layers, calibrated))
    return graph


def float_records(layers: QuantizedLayers, kept: Sequence[str], *, reason: str) -> tuple[FloatLayer, ...]:
    """The convolutions that are not quantized, each with its reason; `reason`: of those that were chosen."""
    from u2forge.quantize.quantized_layers import FRAGILE_REASON
    from u2forge.quantize.wiring import float_reason

    others = [
        FloatLayer(str(node.name), float_reason(node) or reason)
        for node in layers.model.graph
        if node.op_type == "Conv" and str(node.name) not in layers.layers
    ]
    fragile = layers.fragile
    return tuple(FloatLayer(name, FRAGILE_REASON if name in fragile else reason) for name in kept) + tuple(
        others
    )


def quantization_record(
    options: QuantizeOptions,
    calibration: CalibrationRecord,
    float_layers: tuple[FloatLayer, ...],
    accuracy: AccuracyRecord | None,
) -> QuantizationRecord:
    """What the manifest says. accuracy: None where nothing was checked."""
    return QuantizationRecord(
        bits=options.bits,
        weight_bits=16 if options.bits == 16 else options.weight_bits,
        algorithm=options.algorithm,
        weight_granularity=options.weight_granularity,
        activations=options.activations,
        equalize=options.equalize,
        bias_correction=options.bias_correction,
        calibration=calibration,
        float_layers=float_layers,
        accuracy=accuracy,
    )


def of_ranges(ranges: Mapping[str, Range], watched: Observation) -> Calibrated:
    """What is known where nothing but ranges was given: no means, so that biases are not corrected."""
    from u2forge.quantize.observe import Calibrated
    from u2forge.quantize.tensor_statistics import TensorStatistics

    found = {}
    for item in watched.observed:
        if item.kind == "activation":
            low, high = ranges[item.name]
            zeros, ones = np.zeros(item.channels), np.ones(item.channels)
            found[item.name] = TensorStatistics(
                low * ones, high * ones, zeros, ones, np.zeros((0, item.channels), np.float32)
            )
    return Calibrated(found, {}, {})
