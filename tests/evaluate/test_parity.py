"""Parity of maps with known answers."""

import numpy as np
import pytest

from u2forge.evaluate.parity import parity


def test_equal_maps_agree_fully() -> None:
    ramp = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    assert parity(ramp, ramp).mean_difference == 0
    assert parity(ramp, ramp).iou == 1


def test_inverted_masks_do_not_overlap() -> None:
    left = np.array([[1, 0]], np.float32)
    assert parity(left, 1 - left).mean_difference == 1
    assert parity(left, 1 - left).iou == 0


def test_half_overlap() -> None:
    a = np.array([[1, 1, 0, 0]], np.float32)
    b = np.array([[0, 1, 1, 0]], np.float32)
    assert parity(a, b).iou == pytest.approx(1 / 3)
    assert parity(a, b).mean_difference == 0.5


def test_two_empty_masks_agree() -> None:
    empty = np.zeros((2, 2), np.float32)
    assert parity(empty, empty).iou == 1


def test_maps_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2\) and \(2, 1\)"):
        parity(np.zeros((1, 2), np.float32), np.zeros((2, 1), np.float32))
