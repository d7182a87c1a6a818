"""What a mask's levels stand for, by protocol."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from u2forge.evaluate.level_scale import divided_by_maximum, stretched_by_range


@pytest.mark.parametrize("maximum", [1, 2, 3, 100, 254, 255])
def test_a_division_by_the_maximum_is_exact(maximum: int) -> None:
    scale = divided_by_maximum(np.array([[0, maximum]], np.uint8))
    for level in range(maximum + 1):
        exact = Fraction(level, maximum)
        assert scale.values[level] == pytest.approx(float(exact), abs=1e-15)
        assert scale.steps[level] == max(k for k in range(256) if exact >= Fraction(k, 255))


def test_a_division_leaves_the_minimum_alone() -> None:
    scale = divided_by_maximum(np.array([[50, 100]], np.uint8))
    assert scale.values[[50, 100]].tolist() == [0.5, 1]


def test_a_black_mask_stays_black() -> None:
    for scale in (
        divided_by_maximum(np.zeros((2, 2), np.uint8)),
        stretched_by_range(np.zeros((2, 2), np.uint8)),
    ):
        assert (scale.values[0], scale.steps[0]) == (0, 0)


def test_a_stretch_uses_the_whole_range() -> None:
    scale = stretched_by_range(np.array([[50, 100]], np.uint8))
    assert scale.values[[50, 75, 100]].tolist() == [0, pytest.approx(0.5), 1]
    assert scale.steps[[50, 100]].tolist() == [0, 255]


def test_a_flat_mask_is_not_stretched() -> None:
    assert stretched_by_range(np.full((2, 2), 51, np.uint8)).values[51] == pytest.approx(0.2)
    assert divided_by_maximum(np.full((2, 2), 51, np.uint8)).values[51] == 1
