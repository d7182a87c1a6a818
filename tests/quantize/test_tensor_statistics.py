"""Statistics gathered picture by picture are those of all pictures together."""

from __future__ import annotations

import numpy as np
from calibrated_networks import statistics_of

from small_networks import random_batch
from u2forge.quantize.tensor_statistics import MOST_POSITIONS, StatisticsBuilder, TensorStatistics


def added(builder: StatisticsBuilder, picture: np.ndarray) -> TensorStatistics:
    one = statistics_of([picture])
    builder.add(
        low=one.low, high=one.high, mean=one.mean, second_moment=one.second_moment, samples=one.samples
    )
    return builder.result()


def same(first: TensorStatistics, second: TensorStatistics) -> None:
    for name in ("low", "high", "mean", "second_moment", "samples", "variance"):
        # Sums of float64 in another order.
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-12, atol=1e-12)


def test_pictures_of_different_sizes_count_alike() -> None:
    pictures = [random_batch(1, 4, 5, 7, seed=1), 3 * random_batch(1, 4, 2, 3, seed=2)]
    builder = StatisticsBuilder()
    for picture in pictures:
        found = added(builder, picture)
    same(found, statistics_of(pictures))
    assert found.samples.shape == (5 * 7 + 2 * 3, 4)


def test_a_result_stays_when_further_pictures_follow() -> None:
    builder = StatisticsBuilder()
    first = added(builder, random_batch(1, 4, 5, 7, seed=1))
    added(builder, 10 * random_batch(1, 4, 5, 7, seed=2))
    same(first, statistics_of([random_batch(1, 4, 5, 7, seed=1)]))


def test_the_arrays_given_stay_as_they_are() -> None:
    one = statistics_of([random_batch(1, 4, 5, 7)])
    before = statistics_of([random_batch(1, 4, 5, 7)])
    builder = StatisticsBuilder()
    for factor in (1, 10):
        builder.add(
            low=one.low * factor if factor > 1 else one.low,
            high=one.high * factor if factor > 1 else one.high,
            mean=one.mean,
            second_moment=one.second_moment,
            samples=one.samples,
        )
    same(one, before)


def test_scaled_statistics_are_those_of_the_tensor_divided() -> None:
    pictures = [random_batch(1, 4, 5, 7, seed=seed) for seed in range(3)]
    scale = np.array([0.5, 1, 2, 8])
    divided = [picture / scale[:, None, None] for picture in pictures]
    same(statistics_of(pictures).scaled(scale), statistics_of(divided))


def test_the_variance_of_a_constant_is_not_negative() -> None:
    constant = TensorStatistics(
        *(np.array([0.1]),) * 3, second_moment=np.array([0.1**2 - 1e-18]), samples=np.zeros((1, 1), "f4")
    )
    assert constant.variance == 0


def test_what_many_pictures_show_is_thinned_out_evenly() -> None:
    builder = StatisticsBuilder()
    for seed in range(100):
        found = added(builder, np.full((1, 1, 16, 16), seed, np.float32))
        assert len(found.samples) <= 2 * MOST_POSITIONS
    kept = np.unique(found.samples)
    assert len(np.unique(np.diff(kept))) == 1
    assert (kept[0], found.low[0], found.high[0], found.mean[0]) == (0, 0, 99, 49.5)
