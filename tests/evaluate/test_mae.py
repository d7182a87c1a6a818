"""The mean absolute error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from mask_cases import Pair, black, half, pairs, patient, white

from u2forge.evaluate.level_counts import level_counts
from u2forge.evaluate.level_scale import divided_by_maximum
from u2forge.evaluate.mae import grey_mean_absolute_error, mean_absolute_error


def mae(mask: np.ndarray, truth: np.ndarray) -> float:
    return mean_absolute_error(level_counts(mask, truth > 127), divided_by_maximum(mask).values)


def test_known_answers() -> None:
    assert mae(half(), half()) == 0
    assert mae(255 - half(), half()) == 1
    assert mae(black(), half()) == mae(white(), half()) == 0.5
    assert mae(np.array([[51, 255]], np.uint8), np.array([[0, 255]], np.uint8)) == pytest.approx(0.1)


@patient
@given(pairs())
def test_it_is_the_mean_over_the_pixels(pair: Pair) -> None:
    mask, truth = pair[0], pair[1] > 127
    by_hand = np.abs(mask / max(int(mask.max()), 1) - truth).mean()
    assert mae(*pair) == pytest.approx(by_hand, abs=1e-12)
    assert 0 <= mae(*pair) <= 1


@patient
@given(pairs())
def test_binary_masks_can_change_places(pair: Pair) -> None:
    a, b = ((array > 127) * np.uint8(255) for array in pair)
    assert mae(a, b) == mae(b, a)


def test_a_grey_error_is_on_the_scale_of_both() -> None:
    prediction = np.array([[0, 100.5], [255, 20]], np.float32)
    label = np.array([[0, 100], [0, 120]], np.uint8)
    assert grey_mean_absolute_error(prediction, label) == (0 + 0.5 + 255 + 100) / 4


@patient
@given(pairs())
def test_a_grey_error_is_symmetric(pair: Pair) -> None:
    a, b = pair
    assert grey_mean_absolute_error(a.astype(np.float32), b) == grey_mean_absolute_error(
        b.astype(np.float32), a
    )
