"""The S-measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from mask_cases import Pair, half, pairs, patient, square

from u2forge.evaluate.s_measure import s_measure


def s_of(mask: np.ndarray, truth: np.ndarray) -> float:
    return s_measure(mask / 255, truth > 127)


def test_a_perfect_map_has_one_and_an_inverted_one_nothing() -> None:
    for truth in (half(), square(), half(7, 13)):
        assert s_of(truth, truth) == pytest.approx(1)
        assert s_of(255 - truth, truth) == pytest.approx(0, abs=1e-12)


def test_an_empty_or_full_truth_compares_means() -> None:
    grey = np.full((4, 6), 0.25)
    assert s_measure(grey, np.zeros((4, 6), bool)) == 0.75
    assert s_measure(grey, np.ones((4, 6), bool)) == 0.25


def test_a_flat_map_of_one_half() -> None:
    # By object: each half has mean 0.5 and no spread, 2·0.5 / (0.25 + 1). By region: the
    # centroid's column, the mean of 2 and 3, is rounded to even; with its own, 3 of 4 columns are left of it. Their
    # truth is uneven, without covariance; right of it is foreground only, where both are even.
    truth = half(4, 4)
    assert s_measure(np.full((4, 4), 0.5), truth > 127) == pytest.approx(0.5 * 0.8 + 0.5 * 0.25)


def test_a_centroid_in_the_last_row_leaves_quadrants_empty() -> None:
    truth = np.zeros((3, 3), bool)
    truth[2, 2] = True
    assert s_measure(truth.astype(float), truth) == pytest.approx(1)
    assert 0 <= s_measure(np.full((3, 3), 0.3), truth) < 1


@patient
@given(pairs())
def test_it_stays_in_range(pair: Pair) -> None:
    assert 0 <= s_of(*pair) <= 1 + 1e-12


@patient
@given(pairs())
def test_a_perfect_map_is_best(pair: Pair) -> None:
    truth = (pair[1] > 127) * np.uint8(255)
    assert s_of(truth, truth) == pytest.approx(1)
    assert s_of(pair[0], truth) <= s_of(truth, truth) + 1e-12


@patient
@given(pairs())
def test_rows_and_columns_can_change_places(pair: Pair) -> None:
    mask, truth = pair
    assert s_of(mask.T, truth.T) == pytest.approx(s_of(mask, truth), abs=1e-9)
