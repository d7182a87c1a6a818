"""Precision, recall, F."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from mask_cases import Pair, black, half, pairs, patient, white

from u2forge.evaluate.f_measure import adaptive_f, f_curve, precision_curve, recall_curve
from u2forge.evaluate.level_counts import level_counts
from u2forge.evaluate.level_scale import divided_by_maximum
from u2forge.evaluate.threshold_counts import ThresholdCounts, threshold_counts


def counts_of(mask: np.ndarray, truth: np.ndarray) -> ThresholdCounts:
    return threshold_counts(level_counts(mask, truth > 127), divided_by_maximum(mask))


def f_of(mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    counts = counts_of(mask, truth)
    return f_curve(precision_curve(counts), recall_curve(counts))


def adaptive_f_of(mask: np.ndarray, truth: np.ndarray) -> float:
    values = divided_by_maximum(mask).values
    return adaptive_f(level_counts(mask, truth > 127), values, mean=float(values[mask].mean()))


# F of a mask that selects all, where half is foreground: P = 0.5, R = 1.
ALL_OF_HALF = 1.3 * 0.5 / (0.3 * 0.5 + 1)


def test_a_perfect_mask_has_one_but_where_all_is_selected() -> None:
    f = f_of(half(), half())
    assert f[0] == pytest.approx(ALL_OF_HALF)
    assert f[1:] == pytest.approx(1)
    assert adaptive_f_of(half(), half()) == pytest.approx(1)


def test_an_inverted_mask_has_nothing_but_where_all_is_selected() -> None:
    f = f_of(255 - half(), half())
    assert f[0] == pytest.approx(ALL_OF_HALF)
    assert (f[1:] == 0).all()
    assert adaptive_f_of(255 - half(), half()) == 0


def test_black_and_white_masks() -> None:
    assert f_of(black(), half())[0] == pytest.approx(ALL_OF_HALF)
    assert (f_of(black(), half())[1:] == 0).all()
    assert f_of(white(), half()) == pytest.approx(ALL_OF_HALF)
    # Twice the mean of zeros is 0, and all is at least 0.
    assert adaptive_f_of(black(), half()) == adaptive_f_of(white(), half()) == pytest.approx(ALL_OF_HALF)


def test_empty_and_full_truths() -> None:
    assert (f_of(half(), black()) == 0).all()
    assert adaptive_f_of(half(), black()) == 0
    assert (f_of(white(), white()) == 1).all()
    # Half of a full truth: P = 1, R = 0.5.
    assert f_of(half(), white())[255] == pytest.approx(1.3 * 0.5 / 0.8)


def test_precision_counts_more_than_recall() -> None:
    half_found = f_curve(np.array([1.0]), np.array([0.5]))[0]
    half_right = f_curve(np.array([0.5]), np.array([1.0]))[0]
    assert half_found == pytest.approx(0.8125)
    assert half_right == pytest.approx(0.5652173913)


def test_the_adaptive_threshold_is_twice_the_mean() -> None:
    # Mean 1/3: the threshold 2/3 selects 0.8 and 1, one of them right.
    mask = np.array([[0, 0, 0, 51, 204, 255]], np.uint8)
    truth = np.array([[0, 0, 0, 255, 0, 255]], np.uint8)
    assert adaptive_f_of(mask, truth) == pytest.approx(0.5)


def test_recall_of_an_empty_truth_is_what_the_protocol_says() -> None:
    counts = counts_of(half(), black())
    assert (recall_curve(counts) == 0).all()
    assert np.isnan(recall_curve(counts, of_empty_truth=np.nan)).all()
    assert (f_curve(precision_curve(counts), np.full(256, np.nan)) == 0).all()


@patient
@given(pairs())
def test_curves_are_those_of_a_loop_over_thresholds(pair: Pair) -> None:
    mask, truth = pair[0].astype(int), pair[1] > 127
    counts = counts_of(*pair)
    precision, recall = precision_curve(counts), recall_curve(counts)
    for step in range(0, 256, 15):
        is_selected = mask * 255 >= step * max(mask.max(), 1)
        hits = np.count_nonzero(is_selected & truth)
        assert precision[step] == (hits / np.count_nonzero(is_selected) if is_selected.any() else 0)
        assert recall[step] == (hits / np.count_nonzero(truth) if truth.any() else 0)


@patient
@given(pairs())
def test_figures_stay_in_range_and_recall_falls(pair: Pair) -> None:
    counts = counts_of(*pair)
    f = f_curve(precision_curve(counts), recall_curve(counts))
    assert ((f >= 0) & (f <= 1 + 1e-12)).all()
    assert 0 <= adaptive_f_of(*pair) <= 1 + 1e-12
    assert (np.diff(recall_curve(counts)) <= 0).all()


@patient
@given(pairs())
def test_a_dimmer_mask_is_the_same_mask(pair: Pair) -> None:
    mask, truth = pair
    binary = (mask > 127) * np.uint8(255)
    assert f_of(binary // 5, truth).tolist() == f_of(binary, truth).tolist()
