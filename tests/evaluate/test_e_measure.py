"""The E-measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from mask_cases import Pair, black, half, pairs, patient, white

from u2forge.evaluate.e_measure import e_curve
from u2forge.evaluate.level_counts import level_counts
from u2forge.evaluate.level_scale import divided_by_maximum
from u2forge.evaluate.threshold_counts import threshold_counts


def e_of(mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return e_curve(threshold_counts(level_counts(mask, truth > 127), divided_by_maximum(mask)))


def by_pixel(selected: np.ndarray, truth: np.ndarray) -> float:
    """The definition, pixel by pixel."""
    if not truth.any():
        enhanced = 1.0 - selected
    elif truth.all():
        enhanced = selected.astype(float)
    else:
        a, b = selected - selected.mean(), truth - truth.mean()
        enhanced = (1 + 2 * a * b / (a * a + b * b + np.spacing(1))) ** 2 / 4
    return float(enhanced.sum() / (truth.size - 1 + np.spacing(1)))


def test_perfect_and_inverted() -> None:
    # The authors divide by one pixel less.
    assert e_of(half(), half())[1:] == pytest.approx(64 / 63)
    assert e_of(255 - half(), half())[1:] == pytest.approx(0, abs=1e-12)


def test_all_or_nothing_selected_aligns_with_nothing() -> None:
    # A mask of one value has no bias: alignment 0, enhanced 1/4.
    assert e_of(white(), half()) == pytest.approx(64 / 63 / 4)
    assert e_of(black(), half())[255] == pytest.approx(64 / 63 / 4)


def test_empty_and_full_truths_count_pixels() -> None:
    assert e_of(black(), black())[255] == pytest.approx(64 / 63)
    assert e_of(white(), black())[255] == 0
    assert e_of(half(), black())[255] == pytest.approx(32 / 63)
    assert e_of(white(), white())[255] == pytest.approx(64 / 63)
    assert e_of(half(), white())[255] == pytest.approx(32 / 63)


@patient
@given(pairs())
def test_four_kinds_of_pixels_are_as_all_of_them(pair: Pair) -> None:
    mask, truth = pair[0].astype(int), pair[1] > 127
    e = e_of(*pair)
    for step in range(0, 256, 51):
        is_selected = mask * 255 >= step * max(mask.max(), 1)
        assert e[step] == pytest.approx(by_pixel(is_selected, truth), abs=1e-9)
