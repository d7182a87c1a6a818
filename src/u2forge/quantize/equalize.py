"""Channels of one tensor brought closer to one range, exactly: the scales are folded into the weights around it.

Rectification, pooling, bilinear resizing and concatenation scale with their input, so dividing a channel at its
producer and multiplying at its readers changes nothing. Source: Nagel et al., "Data-Free Quantization through
Weight Equalization and Bias Correction" (ICCV 2019), section 4.1; the scales here follow what calibration saw,
as in Xiao et al., "SmoothQuant" (ICML 2023), equation 4.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from u2forge.quantize.tensor_statistics import TensorStatistics
from u2forge.quantize.wiring import activations, network_input, parameter, sources

Scales = dict[str, NDArray[np.float64]]
# A channel that is (nearly) always zero is not scaled by more than this: its rare values would drown the others.
_SMALLEST_SHARE = 1e-3


def channel_scales(graph: ir.Graph, statistics: Mapping[str, TensorStatistics], *, strength: float) -> Scales:
    """By activation, (C,) factors: each channel's largest magnitude to the power of `strength`.

    The two terms of a residual sum and the sum share theirs; the picture has none.
    """
    scales = {
        str(value.name): _factors(statistics[str(value.name)], strength)
        for value in activations(graph)
        if value is not network_input(graph)
    }
    for node in graph:
        if node.op_type == "Add" and str(node.outputs[0].name) in scales:
            for value in node.inputs:
                assert value is not None
                scales[str(value.name)] = scales[str(node.outputs[0].name)]
    return scales


def _factors(statistics: TensorStatistics, strength: float) -> NDArray[np.float64]:
    largest = np.maximum(np.abs(statistics.low), np.abs(statistics.high))
    peak = float(largest.max())
    if not peak > 0:
        return np.ones_like(largest)
    return np.asarray(np.maximum(largest, _SMALLEST_SHARE * peak) ** strength)


def fold_channel_scales(graph: ir.Graph, scales: Scales) -> None:
    """Divides each activation by its scales, in place: at the convolution before it, and back at those behind it."""
    for node in graph:
        if node.op_type != "Conv":
            continue
        assert node.inputs[0] is not None
        weight, bias = parameter(node, 1), parameter(node, 2)
        w, b = (
            np.asarray(value.const_value.numpy(), np.float64) for value in (weight, bias) if value.const_value
        )
        w = w * _input_factors(node.inputs[0], w.shape[1], scales)[None, :, None, None]
        out = output_factors(node, scales)
        if out is not None:
            w, b = w / out[:, None, None, None], b / out
        _set(weight, w)
        _set(bias, b)


def _input_factors(value: ir.Value, channels: int, scales: Scales) -> NDArray[np.float64]:
    parts = sources(value)
    if not any(str(part.name) in scales for part in parts):
        return np.ones(channels)
    return np.concatenate([scales[str(part.name)] for part in parts])


def output_factors(conv: ir.Node, scales: Scales) -> NDArray[np.float64] | None:
    """(C,): what fold_channel_scales divides the convolution's output by; None where that is nothing."""
    for use in conv.outputs[0].uses():
        if use.node.op_type == "Relu":
            return scales.get(str(use.node.outputs[0].name))
    return None


def _set(value: ir.Value, array: NDArray[np.float64]) -> None:
    value.const_value = ir.Tensor(array.astype(np.float32), name=value.name)


def scaled_statistics(
    statistics: Mapping[str, TensorStatistics], scales: Scales
) -> dict[str, TensorStatistics]:
    """The statistics of the graph after fold_channel_scales."""
    return {
        name: found.scaled(scales[name]) if name in scales else found for name, found in statistics.items()
    }
