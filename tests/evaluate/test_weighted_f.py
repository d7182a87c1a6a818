"""The weighted F-measure."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from mask_cases import Pair, black, half, pairs, patient, square, white

from u2forge.errors import MissingDependencyError
from u2forge.evaluate.weighted_f import weighted_f


def weighted_f_of(mask: np.ndarray, truth: np.ndarray) -> float:
    return weighted_f(mask / 255, truth > 127)


def test_known_answers() -> None:
    assert weighted_f_of(square(), square()) == pytest.approx(1)
    assert weighted_f_of(white(), white()) == pytest.approx(1)
    assert weighted_f_of(half(), black()) == 0
    assert weighted_f_of(black((20, 20)), square()) == pytest.approx(0, abs=1e-12)
    assert weighted_f_of(255 - square(), square()) == pytest.approx(0, abs=1e-12)


def test_one_invented_pixel_weighs_by_its_distance() -> None:
    # One pixel of foreground, one invented d pixels away: recall 1, precision 1 / (1 + 2 - 2^(-d/5)).
    for distance in (5, 10):
        truth = np.zeros((1, 20), bool)
        truth[0, 3] = True
        probability = truth.astype(float)
        probability[0, 3 + distance] = 1
        precision = 1 / (1 + 2 - 2 ** (-distance / 5))
        assert weighted_f(probability, truth) == pytest.approx(2 * precision / (1 + precision))


def test_a_missed_pixel_in_the_middle_is_eased_by_its_surroundings() -> None:
    truth = np.ones((9, 9), bool)
    probability = truth.astype(float)
    probability[4, 4] = 0
    # The only error, 1, counts as the Gaussian's centre: σ = 5 over 7 × 7.
    offsets = np.arange(-3, 4)
    centre = 1 / np.exp(-(offsets[:, None] ** 2 + offsets**2) / 50).sum()
    recall = 1 - centre / 81
    assert weighted_f(probability, truth) == pytest.approx(2 * recall / (recall + 1))


@patient
@given(pairs())
def test_it_stays_in_range_and_a_perfect_map_is_best(pair: Pair) -> None:
    mask, truth = pair
    best = (truth > 127) * np.uint8(255)
    assert -1e-12 <= weighted_f_of(mask, truth) <= 1 + 1e-12
    assert weighted_f_of(best, truth) == pytest.approx(1 if best.any() else 0)


def test_without_scipy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingDependencyError, match=r"the weighted F-measure: .*scipy.*\[eval\]"):
        weighted_f_of(half(), half())
