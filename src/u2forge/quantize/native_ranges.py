"""The calibrated ranges that integer kernels need beyond QDQ's scales, as JSON in the graph's metadata, and back.

All ranges are those of the graph that they lie in, its channels already equalized.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.errors import ModelError
from u2forge.quantize.equalize import Scales, output_factors
from u2forge.quantize.observe import Calibrated, leaves
from u2forge.quantize.quantized_layers import QuantizedLayers
from u2forge.quantize.wiring import sources

METADATA_KEY = "u2forge.ranges"
_VERSION = 1


@dataclass(frozen=True, eq=False)
class NativeRanges:
    """channel_high, channel_low: (C,) by activation. pre_activation: (low, high), each (C,), by layer: its
    output before rectification, which 32-bit sums must hold. tile_maximum: (36,) by layer of 3×3 without
    dilation: the largest |BᵀdB| of F(4×4, 3×3) by position, with each input channel divided by its largest
    magnitude."""

    channel_low: Mapping[str, NDArray[np.float64]]
    channel_high: Mapping[str, NDArray[np.float64]]
    pre_activation: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    tile_maximum: Mapping[str, NDArray[np.float64]]


def native_ranges(quantized: QuantizedLayers, calibrated: Calibrated) -> NativeRanges:
    """The ranges of the equalized graph. calibrated: of the graph before, observed with native_ranges."""
    statistics, scales = quantized.statistics, quantized.scales
    layers = {str(node.name): node for node in quantized.model.graph if str(node.name) in quantized.layers}
    pre, tiles = {}, {}
    for name, node in layers.items():
        low, high = calibrated.pre_activations[str(node.outputs[0].name)]
        factors = output_factors(node, scales)
        pre[name] = (low, high) if factors is None else (low / factors, high / factors)
        maximum = _tile_maximum(node, calibrated, statistics, scales)
        if maximum is not None:
            tiles[name] = maximum
    return NativeRanges(
        channel_low={name: found.low for name, found in statistics.items()},
        channel_high={name: found.high for name, found in statistics.items()},
        pre_activation=pre,
        tile_maximum=tiles,
    )


def _tile_maximum(
    node: ir.Node, calibrated: Calibrated, statistics: Mapping[str, Any], scales: Scales
) -> NDArray[np.float64] | None:
    parts = []
    for leaf in leaves(node.inputs[0]):
        tiles = calibrated.tile_maxima.get(str(leaf.name))
        if tiles is None or node.attributes["dilations"].as_ints()[0] != 1:
            return None
        source = str(sources(leaf)[0].name)
        found = statistics[source]
        largest = np.maximum(np.abs(found.low), np.abs(found.high)) * scales.get(source, 1.0)
        parts.append(np.divide(tiles, largest, out=np.zeros_like(tiles), where=largest > 0))
    return np.asarray(np.concatenate(parts, axis=1).max(1))


def add_native_ranges(model: ir.Model, ranges: NativeRanges) -> None:
    """Puts the ranges into the model's metadata, seven digits each."""
    values = {
        "version": _VERSION,
        "channel_low": {name: _numbers(array) for name, array in ranges.channel_low.items()},
        "channel_high": {name: _numbers(array) for name, array in ranges.channel_high.items()},
        "pre_activation": {
            name: [_numbers(low), _numbers(high)] for name, (low, high) in ranges.pre_activation.items()
        },
        "tile_maximum": {name: _numbers(array) for name, array in ranges.tile_maximum.items()},
    }
    model.metadata_props[METADATA_KEY] = json.dumps(values, separators=(",", ":"))


def _numbers(array: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.7g}") for value in array]


def read_native_ranges(model: ir.Model) -> NativeRanges:
    """The ranges in a model's metadata. Raises ModelError where there are none, or broken ones."""
    text = model.metadata_props.get(METADATA_KEY)
    try:
        if text is None:
            raise ValueError("no such entry")
        values = json.loads(text)
        if values["version"] != _VERSION:
            raise ValueError(f"version {values['version']}")
        return NativeRanges(
            channel_low={name: _array(found) for name, found in values["channel_low"].items()},
            channel_high={name: _array(found) for name, found in values["channel_high"].items()},
            pre_activation={
                name: (_array(low), _array(high)) for name, (low, high) in values["pre_activation"].items()
            },
            tile_maximum={name: _array(found) for name, found in values["tile_maximum"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ModelError(
            where=f"model metadata {METADATA_KEY!r}",
            expected=f"calibrated ranges, version {_VERSION}",
            found=str(error)[:120] or type(error).__name__,
            fix="build the model again with a qint16 precision",
        ) from error


def _array(numbers: Sequence[float]) -> NDArray[np.float64]:
    array = np.array(numbers, np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError("a list of finite numbers expected")
    return array
