"""The 16-bit path cannot overflow, and loses what 12 bits lose."""

from __future__ import annotations

import itertools

import int16_reference
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from winograd_reference import direct_convolution, unpacked_weights

from u2forge.native.int16_scales import (
    BALANCE,
    HEADROOM,
    INPUT_FINER,
    INPUT_SHIFT,
    LARGEST_WEIGHT,
    LEVELS,
    MARGIN,
    largest_of_eight_pairs,
    level_values,
    scaling,
    weight_scales,
)
from u2forge.native.pack_convolution import padded_channels
from u2forge.native.pack_int16 import Int16Weights, pack_int16
from u2forge.native.plan import Algorithm
from u2forge.quantize.winograd import TRANSFORM

ALGORITHMS = [Algorithm.DIRECT, Algorithm.WINOGRAD]


def test_the_first_pass_fits_into_16_bits() -> None:
    positive, negative = np.maximum(TRANSFORM, 0).sum(1), -np.minimum(TRANSFORM, 0).sum(1)
    assert np.maximum(positive, negative).max() * LEVELS <= 32767


def test_the_second_pass_fits_where_it_is_said_to() -> None:
    positive, negative = np.maximum(TRANSFORM, 0).sum(1), -np.minimum(TRANSFORM, 0).sum(1)
    same = np.outer(positive, positive) + np.outer(negative, negative)
    opposite = np.outer(positive, negative) + np.outer(negative, positive)
    largest = (
        np.maximum(same, opposite) * LEVELS / 2.0 ** (INPUT_SHIFT - np.add.outer(INPUT_FINER, INPUT_FINER))
    )
    saturating = [*itertools.product([1], [1]), *itertools.product([3, 4], [3, 4])]
    assert [tuple(place) for place in np.argwhere(largest > 32767).tolist()] == saturating
    assert largest.max() < 32768 * 1.13


def test_tiles_at_their_ends_saturate() -> None:
    """The tiles that drive each position to its ends: what 16 bits do not hold is their nearest number."""
    signs = [np.outer(TRANSFORM[i], TRANSFORM[j]) for i, j in itertools.product(range(6), repeat=2)]
    tiles = (
        np.array([sign > 0 for sign in signs] + [sign < 0 for sign in signs])[None].astype(np.int16) * LEVELS
    )
    found = int16_reference.transformed_tiles(tiles)[:, 0]
    exact = np.einsum("iy,jx,tyx->ijt", TRANSFORM, TRANSFORM, tiles[0]).reshape(36, -1)
    exact /= 2.0 ** (INPUT_SHIFT - np.add.outer(INPUT_FINER, INPUT_FINER)).reshape(36, 1)
    np.testing.assert_allclose(found, np.clip(exact, -32768, 32767), atol=0.5)


def test_the_kernels_numbers_are_these() -> None:
    """native/src/transform_kernels.h: kShift, one less in rows and columns 3 and 4; kInner, kLast."""
    assert (INPUT_SHIFT, INPUT_FINER) == (3, (0, 0, 0, 1, 1, 0))
    assert BALANCE == (1, 1, 1, 2, 2, 0.25)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_random_corner_overflows_the_first_pass(seed: int) -> None:
    generator = np.random.default_rng(seed)
    tiles = (generator.integers(0, 2, (1, 200, 6, 6)) * LEVELS).astype(np.int16)
    int16_reference.transformed_tiles(tiles)


def test_levels_reach_beyond_what_calibration_saw() -> None:
    values = level_values(np.array([2.0, 0.5, 0.0, 1e-30]))
    np.testing.assert_allclose(values[:2] * LEVELS, [2 * MARGIN, 0.5 * MARGIN])
    assert (values > 0).all()
    assert values[2] < values[1] / 100
    assert np.isfinite((1 / values).astype(np.float32)).all()
    assert (level_values(np.zeros(3)) > 0).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_weight_scales_keep_weights_and_sums_within_their_bits(algorithm: Algorithm) -> None:
    generator = np.random.default_rng(2)
    largest = np.exp(generator.uniform(-20, 5, 200)).astype(np.float32)
    output_range = np.exp(generator.uniform(-20, 10, 200))
    scales = weight_scales(largest, output_range, algorithm)
    assert (largest * scales <= LARGEST_WEIGHT * (1 + 1e-7)).all()
    assert (HEADROOM[algorithm] * output_range * scales <= 2.0**31 * (1 + 1e-12)).all()
    # As large as possible: one of the two is met.
    met = np.maximum(largest * scales / LARGEST_WEIGHT, HEADROOM[algorithm] * output_range * scales / 2.0**31)
    np.testing.assert_allclose(met, 1, rtol=1e-6)


def test_weights_of_zero_and_ranges_of_zero_have_scales() -> None:
    largest, output_range = np.array([0, 0, 1, 1e-44], np.float32), np.array([0.0, 1, 0, 0])
    scales = weight_scales(largest, output_range, Algorithm.WINOGRAD)
    assert np.isfinite(scales.astype(np.float32)).all()
    assert (scales > 0).all()
    factors = scaling(scales, np.ones(4, np.float32), level_values(np.array([1.0, 0, 0, 1])))
    assert np.isfinite(factors.multiplier).all()
    assert np.isfinite(factors.addend).all()


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 15))
def test_the_largest_of_eight_pairs_bounds_every_group(seed: int, groups: int, bits: int) -> None:
    generator = np.random.default_rng(seed)
    magnitudes = np.abs(generator.integers(-(2**bits) + 1, 2**bits, (3, 8 * groups, 5, 2)))
    sums = [
        magnitudes[:, 8 * group : 8 * group + 8, output].sum(axis=(1, 2)).max()
        for group in range(groups)
        for output in range(5)
    ]
    assert largest_of_eight_pairs(magnitudes.astype(np.float32)) == max(sums)


def test_the_largest_of_eight_pairs_is_exact_for_the_largest_weights() -> None:
    weights = np.full((36, 8, 16, 2), LARGEST_WEIGHT, np.float32)
    assert largest_of_eight_pairs(weights) == 16 * LARGEST_WEIGHT
    # With the largest level, eight pairs of any weights fit: what direct convolutions sum at once.
    assert largest_of_eight_pairs(weights) * LEVELS < 2**31


class Case:
    """A random layer, calibrated by its own inputs, in 16 bits and in floats."""

    def __init__(self, algorithm: Algorithm, *, segments: tuple[int, ...], outputs: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        channels = sum(segments)
        self.algorithm, self.segments, self.dilation = (
            algorithm,
            segments,
            1 + (algorithm is Algorithm.DIRECT),
        )
        # Channels of unlike ranges, smooth and rectified as activations are.
        coarse = generator.normal(0, 1, (channels, 7, 8)).repeat(3, axis=1).repeat(3, axis=2)
        inputs = np.maximum(coarse + generator.normal(0, 0.3, coarse.shape), 0)
        self.inputs = inputs * np.exp(generator.uniform(-2, 2, (channels, 1, 1)))
        self.weight = generator.normal(0, (2 / 9 / channels) ** 0.5, (outputs, channels, 3, 3)).astype(
            np.float32
        )
        self.bias = generator.normal(0, 0.1, outputs).astype(np.float32)
        self.sums = (
            direct_convolution(self.inputs, self.weight, dilation=self.dilation) + self.bias[:, None, None]
        )
        self.expected = np.maximum(self.sums, 0)
        self.input_levels = level_values(self.inputs.max(axis=(1, 2)))
        self.target_levels = level_values(self.expected.max(axis=(1, 2)))
        self.packed: Int16Weights = pack_int16(
            self.weight,
            segments,
            algorithm,
            input_levels=self.input_levels,
            output_range=np.abs(self.sums).max(axis=(1, 2)),
        )
        factors = scaling(self.packed.scales, self.bias, self.target_levels)
        self.arrays = {
            "weights": self.packed.packed,
            "multiplier": padded_channels(factors.multiplier, (outputs,)),
            "addend": padded_channels(factors.addend, (outputs,)),
        }

    def levels(self, inputs: np.ndarray) -> np.ndarray:
        levels = int16_reference.rounded((inputs / self.input_levels[:, None, None]).astype(np.float32))
        return np.moveaxis(padded_channels(np.moveaxis(levels, 0, -1), self.segments), -1, 0)

    def run(self, inputs: np.ndarray, **more: object) -> np.ndarray:
        found = int16_reference.convolution(
            self.levels(inputs), self.arrays, self.algorithm, dilation=self.dilation, **more
        )
        assert not found[len(self.weight) :].any()
        return found[: len(self.weight)] * self.target_levels[:, None, None]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("segments", "outputs"), [((64,), 64), ((20, 33), 18)])
def test_a_layer_loses_what_12_bits_lose(
    algorithm: Algorithm, segments: tuple[int, ...], outputs: int
) -> None:
    case = Case(algorithm, segments=segments, outputs=outputs, seed=5)
    found = case.run(case.inputs)
    # The least there can be: the rounded inputs through the exact convolution, then rounding of the output.
    rounded = case.levels(case.inputs)
    real = np.concatenate(
        [
            rounded[first : first + count]
            for count, first in zip(
                segments, np.cumsum([0, *(-(-c // 16) * 16 for c in segments)]), strict=False
            )
        ]
    )
    least = np.maximum(
        direct_convolution(real * case.input_levels[:, None, None], case.weight, dilation=case.dilation)
        + case.bias[:, None, None],
        0,
    )
    steps = case.target_levels[:, None, None]
    least = np.rint(least / steps) * steps
    lost, inevitable = rms((found - case.expected) / steps), rms((least - case.expected) / steps)
    assert inevitable < 0.35
    # A direct convolution rounds its weights to 16 bits, and that is all. Winograd's input transform is rounded to a
    # multiple of two to eight levels, and its weights share one scale for 36 positions.
    assert lost < (2 if algorithm is Algorithm.WINOGRAD else inevitable * 1.05), (lost, inevitable)


def rms(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(array))))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_packed_weights_are_the_scaled_ones(algorithm: Algorithm) -> None:
    case = Case(algorithm, segments=(5, 40), outputs=70, seed=1)
    found = unpacked_weights(case.packed.packed, algorithm, inputs=16 + 48, pair=2)
    assert np.abs(found).max() <= LARGEST_WEIGHT
    assert not found[:, 5:16].any()
    assert not found[:, :, 70:].any()
    if algorithm is Algorithm.DIRECT:
        exact = case.weight * case.input_levels[:, None, None] * case.packed.scales[:, None, None, None]
        kernels = exact.reshape(70, 45, 9).transpose(2, 1, 0)
        np.testing.assert_allclose(found[:, :5, :70], kernels[:, :5], atol=0.51)
        np.testing.assert_allclose(found[:, 16:56, :70], kernels[:, 5:], atol=0.51)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_layer_fully_driven_clips_and_does_not_wrap(algorithm: Algorithm) -> None:
    """All inputs MARGIN times what calibration saw, and as many times inverted: up to the ends of all levels."""
    case = Case(algorithm, segments=(32,), outputs=32, seed=3)
    limit = (case.input_levels * LEVELS)[:, None, None]
    for inputs in (case.inputs * MARGIN, limit - case.inputs, np.broadcast_to(limit, case.inputs.shape)):
        exact = direct_convolution(inputs, case.weight, dilation=case.dilation) + case.bias[:, None, None]
        steps = case.target_levels[:, None, None]
        found, expected = case.run(inputs) / steps, np.clip(exact / steps, 0, LEVELS)
        assert rms(found - expected) < 0.01 * LEVELS
        assert np.abs(found - expected).max() < 0.1 * LEVELS


def test_a_residual_is_added_behind_rectification() -> None:
    case = Case(Algorithm.WINOGRAD, segments=(32,), outputs=32, seed=8)
    generator = np.random.default_rng(0)
    residual = generator.integers(0, 1000, (32, *case.inputs.shape[1:])).astype(np.int16)
    case.arrays["residual_multiplier"] = np.full(32, 0.5, np.float32)
    plain = case.run(case.inputs)
    with_residual = case.run(case.inputs, residual=residual)
    steps = case.target_levels[:, None, None]
    expected = np.minimum(plain / steps + residual * 0.5, LEVELS)
    assert np.abs(with_residual / steps - expected).max() <= 1.001
