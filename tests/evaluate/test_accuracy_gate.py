"""The gate: what a loss is, when it holds, and what it says where it does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from u2forge.errors import InputError
from u2forge.evaluate.accuracy_gate import (
    DEFAULT_MAX_LOSS,
    DEFAULT_MIN_IOU,
    AccuracyGate,
    MapLoss,
    map_loss,
)


def loss(difference: float = 0.001, iou: float = 0.97) -> MapLoss:
    return MapLoss((difference,) * 8, iou, "cat.jpg")


def two_pixels(first: float, second: float) -> np.ndarray:
    return np.array([[first, second]], np.float32)


def test_a_loss_is_the_mean_over_pictures_and_the_worst_of_them() -> None:
    references = [two_pixels(1, 0), two_pixels(1, 1), two_pixels(0, 0)]
    maps = [two_pixels(1, 0.25), two_pixels(1, 0), two_pixels(0, 0)]
    found = map_loss(["a", "b", "c"], maps, references)
    assert found == MapLoss(differences=(0.125, 0.5, 0.0), worst_iou=0.5, worst_name="b")
    assert found.pictures == 3
    assert found.mean_difference == pytest.approx((0.125 + 0.5 + 0) / 3)
    assert found.worst_difference == 0.5


def test_pictures_of_any_size_count_alike() -> None:
    small, large = np.zeros((1, 1), np.float32), np.zeros((10, 10), np.float32)
    assert map_loss(["a", "b"], [small + 1, large], [small, large]).mean_difference == 0.5


def test_equal_maps_lose_nothing() -> None:
    ramp = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    found = map_loss(["a"], [ramp], [ramp])
    assert found == MapLoss((0.0,), 1.0, "a")
    assert (found.pictures, found.mean_difference, found.worst_difference) == (1, 0.0, 0.0)


def test_as_many_maps_as_references_are_needed() -> None:
    with pytest.raises(ValueError, match=r"argument 2 is (shorter|longer)"):
        map_loss(["a"], [two_pixels(0, 0)], [])


def test_the_limits_themselves_hold() -> None:
    gate = AccuracyGate()
    assert (gate.max_loss, gate.min_iou) == (DEFAULT_MAX_LOSS, DEFAULT_MIN_IOU) == (0.002, 0.95)
    assert gate.holds(loss(0.002, 0.95))
    assert gate.excess(loss(0.002, 0.95)) == ""


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (loss(difference=0.01), "mean map difference 0.01000, 5.0 times the limit of 0.002"),
        (loss(iou=0.9), "IoU 0.900 on cat.jpg, below 0.95"),
        (
            loss(0.003, 0.1234),
            "mean map difference 0.00300, 1.5 times the limit of 0.002; IoU 0.123 on cat.jpg, below 0.95",
        ),
    ],
)
def test_beyond_a_limit_it_does_not_hold_and_says_by_how_much(found: MapLoss, words: str) -> None:
    assert not AccuracyGate().holds(found)
    assert AccuracyGate().excess(found) == words


def test_limits_of_ones_own() -> None:
    gate = AccuracyGate(max_loss=0.05, min_iou=0.5)
    assert gate.holds(loss(0.05, 0.5))
    assert not gate.holds(loss(0.0501, 0.5))
    assert not gate.holds(loss(0.05, 0.499))


def test_a_limit_of_zero_lets_only_equal_maps_through() -> None:
    gate = AccuracyGate(max_loss=0)
    assert gate.holds(loss(0.0, 1.0))
    assert gate.excess(loss(0.001, 1.0)) == "mean map difference 0.00100, beyond the limit of 0"


def test_a_loss_that_is_no_number_does_not_hold() -> None:
    assert not AccuracyGate().holds(loss(math.nan))
    assert not AccuracyGate().holds(loss(iou=math.nan))


@pytest.mark.parametrize("value", [-0.001, 1.001, math.nan, math.inf])
@pytest.mark.parametrize("option", ["max_loss", "min_iou"])
def test_a_limit_that_is_no_share_is_refused(option: str, value: float) -> None:
    with pytest.raises(
        InputError, match=f"accuracy gate, option '{option}': expected a number of 0 to 1; found"
    ):
        AccuracyGate(**{option: value})
