"""Weights to integers: within their limits, kernel sums kept, and nothing moved by more than a step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from u2forge.quantize.options import DEFAULT_WEIGHT_BITS, WEIGHT_GRANULARITIES, WeightGranularity
from u2forge.quantize.round_weights import RoundedWeights, round_weights

LIMITS = {7: 63, 8: 127, 16: 32767}
# Quotients of float64, up to 32767 of them in a sum of nine.
FLOAT64 = 1e-9

weight_bits = st.sampled_from(list(LIMITS))
granularities = st.sampled_from(WEIGHT_GRANULARITIES)


def rounded(
    weights: np.ndarray,
    *,
    bits: int = 8,
    granularity: WeightGranularity = "per_channel",
    power: np.ndarray | None = None,
) -> RoundedWeights:
    power = np.ones(weights.shape[1]) if power is None else power
    return round_weights(weights, bits=bits, granularity=granularity, input_power=power)


@st.composite
def weight_arrays(draw: st.DrawFn) -> np.ndarray:
    """Of any small shape; bell-shaped, with some weights far out."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 4), st.sampled_from([1, 3]), st.just(3)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = random.standard_t(draw(st.sampled_from([1, 3, 30])), size=shape)
    return weights * 10.0 ** draw(st.integers(-3, 2))


def exact_levels(weights: np.ndarray, found: RoundedWeights, limit: int) -> np.ndarray:
    """What the levels were without rounding, clipped."""
    scale = found.scale.astype(np.float64).reshape(-1, 1, 1, 1)
    return np.clip(weights / scale, -limit, limit)


@settings(deadline=None)
@given(weight_arrays(), weight_bits, granularities)
def test_levels_stay_within_their_limit(
    weights: np.ndarray, bits: int, granularity: WeightGranularity
) -> None:
    found = rounded(weights, bits=bits, granularity=granularity)
    assert found.levels.shape == weights.shape
    assert found.levels.dtype == (np.int16 if bits == 16 else np.int8)
    assert np.abs(found.levels.astype(int)).max() <= LIMITS[bits]


@settings(deadline=None)
@given(weight_arrays(), weight_bits, granularities)
def test_no_weight_moves_by_more_than_a_step(
    weights: np.ndarray, bits: int, granularity: WeightGranularity
) -> None:
    found = rounded(weights, bits=bits, granularity=granularity)
    error = found.levels - exact_levels(weights, found, LIMITS[bits])
    assert np.abs(error).max() <= 1 + FLOAT64


@settings(deadline=None)
@given(weight_arrays(), weight_bits, granularities)
def test_kernel_sums_are_kept_to_half_a_step(
    weights: np.ndarray, bits: int, granularity: WeightGranularity
) -> None:
    found = rounded(weights, bits=bits, granularity=granularity)
    error = (found.levels - exact_levels(weights, found, LIMITS[bits])).sum((2, 3))
    assert np.abs(error).max() <= 0.5 + FLOAT64


def test_plain_rounding_would_not_keep_them() -> None:
    """Nine weights of 0.4 steps each are 3.6 together: four become 1, where rounding left none."""
    weights = np.full((1, 2, 3, 3), 0.4)
    weights[0, 1, 0, 0] = 63
    found = rounded(weights, bits=7, power=np.array([1e-3, 1e3]))
    assert found.scale == 1
    assert sorted(found.levels[0, 0].ravel()) == [0] * 5 + [1] * 4


def test_the_scale_has_one_entry_for_each_output_channel_or_one_in_all() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)) * np.array([1, 2, 4, 8])[:, None, None, None]
    by_channel, in_all = rounded(weights), rounded(weights, granularity="per_tensor")
    assert (by_channel.scale.shape, in_all.scale.shape) == ((4,), ())
    assert by_channel.scale.dtype == in_all.scale.dtype == np.float32
    assert by_channel.values.shape == in_all.values.shape == weights.shape

    def error(found: RoundedWeights) -> float:
        return float(np.square(found.values - weights).mean())

    assert error(by_channel) < error(in_all) / 2


@pytest.mark.parametrize("granularity", WEIGHT_GRANULARITIES)
@pytest.mark.parametrize("bits", LIMITS)
def test_weights_of_zero_stay_zero(bits: int, granularity: WeightGranularity) -> None:
    found = rounded(np.zeros((2, 3, 3, 3)), bits=bits, granularity=granularity)
    assert not found.levels.any()
    assert not found.values.any()
    assert (found.scale > 0).all()
    assert np.isfinite(found.scale).all()


def test_a_channel_of_zeros_leaves_the_others_alone() -> None:
    weights = np.random.default_rng(0).normal(size=(2, 3, 3, 3))
    alone = rounded(weights[1:])
    weights[0] = 0
    found = rounded(weights)
    assert not found.levels[0].any()
    np.testing.assert_array_equal(found.levels[1:], alone.levels)


def test_whole_multiples_of_a_step_come_back_exactly() -> None:
    weights = np.random.default_rng(0).integers(-127, 128, (3, 2, 3, 3)) / 64
    weights[:, 0, 0, 0] = 127 / 64
    np.testing.assert_array_equal(rounded(weights).values, weights)


@pytest.mark.parametrize("power", [[1.0, 1.0], [0.0, 0.0]])
def test_16_bits_are_not_clipped(power: list[float]) -> None:
    weights = np.random.default_rng(0).standard_t(1, size=(3, 2, 3, 3))
    found = rounded(weights, bits=16, power=np.array(power))
    largest = np.abs(weights).max((1, 2, 3))
    # One rounding to float32.
    np.testing.assert_allclose(found.scale * 32767.0, largest, rtol=2.0**-23)


def test_weights_are_clipped_where_no_input_power_meets_them() -> None:
    """One weight far out: it decides the scale where its input is strong, and is clipped where that is silent."""
    weights = np.random.default_rng(0).normal(size=(1, 2, 3, 3))
    weights[0, 0, 1, 1] = 40
    heard = rounded(weights, power=np.array([1.0, 1.0]))
    silent = rounded(weights, power=np.array([0.0, 1.0]))
    assert heard.scale == pytest.approx(40 / 127)
    assert silent.scale < 0.95 * 40 / 127
    assert silent.levels[0, 0, 1, 1] == 127


@settings(deadline=None)
@given(weight_arrays(), st.sampled_from([7, 8]), granularities)
def test_the_chosen_scale_is_never_worse_than_the_full_one(
    weights: np.ndarray, bits: int, granularity: WeightGranularity
) -> None:
    """By the error of plain rounding, weighed by the inputs' power; per channel and in all."""
    limit = LIMITS[bits]
    power = np.linspace(0.1, 3, weights.shape[1])
    found = rounded(weights, bits=bits, granularity=granularity, power=power)
    axes = (1, 2, 3) if granularity == "per_channel" else None
    full = np.abs(weights).max(axes) / limit

    def noise(scale: np.ndarray) -> np.ndarray:
        steps = np.asarray(scale, np.float64).reshape(-1, 1, 1, 1)
        error = np.clip(np.rint(weights / steps), -limit, limit) * steps - weights
        by_channel = np.square(error).sum((2, 3)) @ power
        return by_channel if granularity == "per_channel" else by_channel.sum()

    # The scale was rounded to float32 behind the choice.
    assert (noise(found.scale) <= noise(full) * (1 + 1e-4) + 1e-12 * np.square(weights).sum()).all()


def test_two_products_of_seven_bit_weights_fit_in_16_bits() -> None:
    """What the default's reason says: pairs of 8-bit products are added in 16 bits on processors without VNNI."""
    limit = 2 ** (DEFAULT_WEIGHT_BITS - 1) - 1
    weights = np.random.default_rng(0).normal(size=(8, 8, 3, 3))
    levels = rounded(weights, bits=DEFAULT_WEIGHT_BITS).levels.astype(int)
    assert np.abs(levels).max() == limit == 63
    assert 2 * 255 * limit <= np.iinfo(np.int16).max
    assert 2 * 255 * LIMITS[8] > np.iinfo(np.int16).max
