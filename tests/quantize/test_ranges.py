"""Ranges of made-up tensors whose best range is known."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from calibrated_networks import statistics_from_values, statistics_of
from hypothesis import given, settings
from hypothesis import strategies as st

from small_networks import random_batch
from u2forge.quantize.affine import activation_affine, quantization_noise
from u2forge.quantize.options import RANGE_ALGORITHMS, ActivationScheme, RangeAlgorithm
from u2forge.quantize.ranges import Range, range_of
from u2forge.quantize.tensor_statistics import TensorStatistics

SCHEMES = get_args(ActivationScheme)
CLIPPING: list[RangeAlgorithm] = ["percentile", "eqnm", "entropy"]
# Enough that one of them is beyond the percentile's 0.01 %, and that its own error does not decide for eqnm.
COUNT = 400_000
OUTLIER = 100.0


def found_range(
    statistics: TensorStatistics,
    algorithm: RangeAlgorithm,
    *,
    bits: int = 8,
    scheme: ActivationScheme = "asymmetric",
) -> Range:
    return range_of(statistics, algorithm=algorithm, bits=bits, scheme=scheme)


def bulk_and_outlier(*, signed: bool) -> np.ndarray:
    """Values of at most 1, by far most of them small, and one that is a hundred times as large."""
    values = np.random.default_rng(0).normal(size=COUNT).clip(-4, 4) / 4
    values = values if signed else np.abs(values)
    values[0] = OUTLIER
    return values


def noise(values: np.ndarray, found: Range, scheme: ActivationScheme = "asymmetric") -> float:
    return quantization_noise(values, activation_affine(*found, bits=8, scheme=scheme))


def test_linear_covers_all_that_was_seen() -> None:
    batches = [random_batch(1, 4, 5, 7, seed=seed) for seed in range(3)]
    found = found_range(statistics_of(batches), "linear")
    assert found == (min(b.min() for b in batches), max(b.max() for b in batches))


def test_linear_covers_what_the_samples_missed() -> None:
    seen = statistics_from_values([0, 1])
    missed = TensorStatistics(np.array([-3.0]), np.array([9.0]), seen.mean, seen.second_moment, seen.samples)
    assert found_range(missed, "linear") == (-3, 9)


@pytest.mark.parametrize("algorithm", RANGE_ALGORITHMS)
def test_every_range_holds_zero(algorithm: RangeAlgorithm) -> None:
    for values in (np.linspace(2, 5, 1000), np.linspace(-5, -2, 1000)):
        low, high = found_range(statistics_from_values(values), algorithm)
        assert low <= 0 <= high
        assert (low == 0) == (values[0] > 0)
        assert (high == 0) == (values[0] < 0)


@pytest.mark.parametrize("signed", [False, True])
def test_linear_keeps_an_outlier(signed: bool) -> None:
    assert found_range(statistics_from_values(bulk_and_outlier(signed=signed)), "linear")[1] == OUTLIER


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("algorithm", CLIPPING)
def test_the_others_clip_an_outlier(algorithm: RangeAlgorithm, signed: bool) -> None:
    found = found_range(statistics_from_values(bulk_and_outlier(signed=signed)), algorithm)
    # eqnm weighs the outlier's own squared error; the other two hardly see one of 400,000.
    assert found[1] < (0.95 * OUTLIER if algorithm == "eqnm" else 0.2 * OUTLIER)
    assert found[1] > 0.9


@pytest.mark.parametrize("algorithm", CLIPPING)
def test_an_even_distribution_is_hardly_clipped(algorithm: RangeAlgorithm) -> None:
    low, high = found_range(statistics_from_values(np.linspace(0, 3, 100_000)), algorithm)
    assert low == 0
    # By 0.01 % (percentile), a candidate's step of 2 % (eqnm), a last bin of 2048 and a few steps of 16 (entropy).
    assert 3 * 0.97 < high <= 3


def test_percentile_leaves_out_one_in_ten_thousand() -> None:
    assert found_range(statistics_from_values(np.arange(100_001)), "percentile") == (
        0,
        pytest.approx(99_990),
    )


def test_percentile_leaves_out_half_of_that_at_each_end() -> None:
    found = found_range(statistics_from_values(np.arange(-100_000, 100_001)), "percentile")
    assert found == (pytest.approx(-99_990), pytest.approx(99_990))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=200),
    st.integers(-2, 3),
    st.sampled_from(SCHEMES),
)
def test_eqnm_never_makes_more_noise_than_linear(
    values: list[float], power: int, scheme: ActivationScheme
) -> None:
    array = np.array([*values, values[0] * 10.0**power], np.float32)
    statistics = statistics_from_values(array)
    eqnm = noise(array, found_range(statistics, "eqnm", scheme=scheme), scheme)
    linear = noise(array, found_range(statistics, "linear", scheme=scheme), scheme)
    assert eqnm <= linear


def test_eqnm_makes_clearly_less_noise_where_clipping_pays() -> None:
    values = bulk_and_outlier(signed=False)
    statistics = statistics_from_values(values)
    assert noise(values, found_range(statistics, "eqnm")) < 0.95 * noise(
        values, found_range(statistics, "linear")
    )


def test_entropy_clips_both_ends_at_one_magnitude() -> None:
    values = np.random.default_rng(0).normal(size=50_000) / 4
    values[:2] = -OUTLIER, 0.6 * OUTLIER
    low, high = found_range(statistics_from_values(values), "entropy")
    assert low == -high
    assert high < 0.2 * OUTLIER


def test_zeros_do_not_count_for_entropy() -> None:
    """Every scale represents them, and rectified tensors are full of them."""
    values = np.abs(np.random.default_rng(0).normal(size=20_000))
    with_zeros = np.concatenate([values, np.zeros(10 * len(values))])
    assert found_range(statistics_from_values(with_zeros), "entropy") == found_range(
        statistics_from_values(values), "entropy"
    )


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("algorithm", RANGE_ALGORITHMS)
def test_with_16_bits_all_give_twice_what_was_seen(
    algorithm: RangeAlgorithm, scheme: ActivationScheme
) -> None:
    statistics = statistics_from_values(bulk_and_outlier(signed=True)[:1000])
    found = found_range(statistics, algorithm, bits=16, scheme=scheme)
    assert found == (2 * statistics.low.min(), 2 * OUTLIER)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("algorithm", RANGE_ALGORITHMS)
def test_a_tensor_of_zeros_has_an_empty_range(algorithm: RangeAlgorithm, scheme: ActivationScheme) -> None:
    assert found_range(statistics_from_values(np.zeros(100)), algorithm, scheme=scheme) == (0, 0)


@pytest.mark.parametrize("algorithm", RANGE_ALGORITHMS)
def test_samples_that_missed_all_but_zeros_still_give_a_range(algorithm: RangeAlgorithm) -> None:
    seen = statistics_from_values(np.zeros(100))
    missed = TensorStatistics(np.zeros(1), np.array([9.0]), seen.mean, seen.second_moment, seen.samples)
    low, high = found_range(missed, algorithm)
    assert low == 0
    assert np.isfinite(high)
    assert 0 <= high <= 9
