"""The relaxed boundary F-measure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from mask_cases import Pair, pairs, patient, square

from u2forge.evaluate.relaxed_f import boundary, relaxed_f


def by_pixel(mask: np.ndarray, truth: np.ndarray) -> float:
    """The definition: each boundary pixel against each of the other's."""
    found, wanted = np.argwhere(boundary(mask)), np.argwhere(boundary(truth))
    if not found.size or not wanted.size:
        return 0.0
    meets = ((found[:, None] - wanted[None]) ** 2).sum(axis=-1) <= 9
    precision, recall = meets.any(axis=1).mean(), meets.any(axis=0).mean()
    return 1.3 * precision * recall / (0.3 * precision + recall) if precision and recall else 0.0


def test_the_boundary_is_the_outermost_ring() -> None:
    ring = boundary(square(7, 1, 6) > 0)
    assert ring.sum() == 16
    assert not ring[2:5, 2:5].any()


def test_the_pictures_edge_is_a_boundary_too() -> None:
    assert boundary(np.ones((4, 5), bool)).sum() == 14
    assert boundary(np.ones((1, 1), bool)).all()


def test_perfect_empty_and_far_masks() -> None:
    truth = square() > 0
    assert relaxed_f(truth, truth) == pytest.approx(1)
    empty = np.zeros_like(truth)
    assert relaxed_f(empty, truth) == relaxed_f(truth, empty) == relaxed_f(empty, empty) == 0
    assert relaxed_f(np.roll(truth, 40, 1), truth) == pytest.approx(1)  # a whole turn
    far = np.zeros((40, 40), bool)
    far[30:38, 30:38] = True
    near = np.zeros((40, 40), bool)
    near[2:10, 2:10] = True
    assert relaxed_f(far, near) == 0


@pytest.mark.parametrize(("distance", "expected"), [(0, 1), (3, 1), (4, 0)])
def test_three_pixels_are_forgiven_and_a_fourth_is_not(distance: int, expected: float) -> None:
    line, moved = np.zeros((9, 30), bool), np.zeros((9, 30), bool)
    line[:, 10] = moved[:, 10 + distance] = True
    assert relaxed_f(moved, line) == pytest.approx(expected)


@pytest.mark.parametrize(("offset", "expected"), [((2, 2), 1), ((3, 1), 0), ((0, 3), 1), ((3, 3), 0)])
def test_distance_is_euclidean(offset: tuple[int, int], expected: float) -> None:
    one, other = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    one[2, 2] = other[2 + offset[0], 2 + offset[1]] = True
    assert relaxed_f(other, one) == pytest.approx(expected)


@patient
@given(pairs())
def test_it_is_the_definition(pair: Pair) -> None:
    mask, truth = (array > 127 for array in pair)
    assert relaxed_f(mask, truth) == pytest.approx(by_pixel(mask, truth), abs=1e-12)
