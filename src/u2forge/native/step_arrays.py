"""One step's ingredients → its packed arrays, in the numbers of one precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.errors import ModelError
from u2forge.native.int16_scales import level_values, scaling
from u2forge.native.lower import Ingredients
from u2forge.native.pack_convolution import (
    Weights,
    pack_convolution,
    pack_first,
    pack_pointwise,
    pack_side,
    padded_channels,
)
from u2forge.native.pack_int16 import pack_int16
from u2forge.native.plan import Kind, Step
from u2forge.quantize.native_ranges import NativeRanges

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class StepArrays:
    """arrays: by the name of their field of Offsets. eight_pairs: see Step."""

    arrays: Arrays
    eight_pairs: int = 0


def step_arrays(
    step: Step, ingredients: Ingredients, *, precision: str, ranges: NativeRanges | None
) -> StepArrays:
    """The arrays of a step. ranges: what int16 was calibrated with, not None there.

    Raises ModelError where ranges are missing or of another number of channels.
    """
    if ingredients.normalization is not None:
        normalization = ingredients.normalization
        return StepArrays({"multiplier": normalization.scale, "addend": normalization.offset})
    if ingredients.weights is None:
        scaled_add = step.kind is Kind.ADD and precision == "int16"
        return StepArrays(_add(ingredients, ranges) if scaled_add else {})
    weight, bias = ingredients.weights.read_weight(), ingredients.weights.read_bias()
    if precision == "int16" and step.kind is Kind.CONVOLUTION:
        return _int16_convolution(step, ingredients, weight, bias, ranges)
    if precision == "int16":
        weight, bias = _in_levels(step.kind, ingredients, weight, bias, ranges)
    if step.kind is Kind.POINTWISE_CONVOLUTION:
        return StepArrays({"weights": pack_pointwise(weight), "addend": bias})
    if step.kind is Kind.SIDE_CONVOLUTION:
        return StepArrays({"weights": pack_side(weight, ingredients.input_segments), "addend": bias})
    addend = padded_channels(bias, ingredients.target_segments)
    if step.kind is Kind.FIRST_CONVOLUTION:
        return StepArrays({"weights": pack_first(weight), "addend": addend})
    packed = pack_convolution(
        weight, ingredients.input_segments, step.algorithm, bfloat16=precision == "bfloat16"
    )
    return StepArrays({"weights": packed, "addend": addend})


def _int16_convolution(
    step: Step,
    ingredients: Ingredients,
    weight: Weights,
    bias: NDArray[np.float32],
    ranges: NativeRanges | None,
) -> StepArrays:
    assert ranges is not None
    packed = pack_int16(
        weight,
        ingredients.input_segments,
        step.algorithm,
        input_levels=_levels(ingredients.sources, ingredients.input_segments, ranges),
        output_range=_output_range(str(ingredients.conv_name), len(weight), ranges),
    )
    target = _levels(ingredients.targets, ingredients.target_segments, ranges)
    factors = scaling(packed.scales, bias, target)
    segments = ingredients.target_segments
    arrays = {
        "weights": packed.packed,
        "addend": padded_channels(factors.addend, segments),
        "multiplier": padded_channels(factors.multiplier, segments),
    }
    if step.residual is not None:
        residual = _levels(ingredients.residual_sources, ingredients.residual_segments, ranges)
        arrays["residual_multiplier"] = padded_channels((residual / target).astype(np.float32), segments)
    return StepArrays(arrays, packed.eight_pairs)


def _in_levels(
    kind: Kind,
    ingredients: Ingredients,
    weight: Weights,
    bias: NDArray[np.float32],
    ranges: NativeRanges | None,
) -> tuple[Weights, NDArray[np.float32]]:
    """The float weights of a convolution from or to levels: their values are folded in."""
    assert ranges is not None
    if kind is Kind.SIDE_CONVOLUTION:
        source = _levels(ingredients.sources, ingredients.input_segments, ranges)
        return weight * source.astype(np.float32)[:, None, None], bias
    if kind is Kind.FIRST_CONVOLUTION:
        target = 1 / _levels(ingredients.targets, ingredients.target_segments, ranges)
        return weight * target.astype(np.float32)[:, None, None, None], (bias * target).astype(np.float32)
    return weight, bias


def _add(ingredients: Ingredients, ranges: NativeRanges | None) -> Arrays:
    assert ranges is not None
    target = _levels(ingredients.targets, ingredients.target_segments, ranges)
    source = _levels(ingredients.sources, ingredients.input_segments, ranges)
    residual = _levels(ingredients.residual_sources, ingredients.residual_segments, ranges)
    segments = ingredients.target_segments
    return {
        "multiplier": padded_channels((source / target).astype(np.float32), segments),
        "residual_multiplier": padded_channels((residual / target).astype(np.float32), segments),
    }


def _levels(names: Sequence[str], segments: Sequence[int], ranges: NativeRanges) -> NDArray[np.float64]:
    """(real channels,) what a level is worth in each channel, part by part."""
    parts = []
    for name, channels in zip(names, segments, strict=True):
        high = ranges.channel_high.get(name)
        if high is None or len(high) != channels:
            raise _misfit(name, channels, high)
        parts.append(level_values(high))
    return np.concatenate(parts)


def _output_range(name: str, channels: int, ranges: NativeRanges) -> NDArray[np.float64]:
    low, high = ranges.pre_activation.get(name, (None, None))
    if low is None or high is None or len(low) != channels or len(high) != channels:
        raise _misfit(name, channels, high)
    return np.asarray(np.maximum(np.abs(low), np.abs(high)))


def _misfit(name: str, channels: int, found: NDArray[np.float64] | None) -> ModelError:
    return ModelError(
        where=f"engine 'native', calibrated ranges of {name!r}",
        expected=f"one of each of {channels} channels",
        found="none" if found is None else f"{len(found)}",
        fix="build the model again with a qint16 precision",
    )
