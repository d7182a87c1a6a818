"""The noise band: symmetry, few turns, an outlier, and how often it holds the truth."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from perf_records import STEADY

from u2forge.measure.noise_band import noise_band

TURNS = st.lists(st.floats(0.01, 1e4), min_size=2, max_size=30)


@given(old=TURNS, new=TURNS, change=st.floats(-0.9, 10))
def test_the_change_lies_within_its_band(old: list[float], new: list[float], change: float) -> None:
    band = noise_band(change, old, new)
    assert band is not None
    assert -1 <= band.low <= change <= band.high < math.inf


@given(old=TURNS, new=TURNS, factor=st.floats(0.01, 100))
def test_the_unit_does_not_matter(old: list[float], new: list[float], factor: float) -> None:
    there = noise_band(0.0, old, new)
    scaled = noise_band(0.0, [factor * one for one in old], new)
    assert there is not None
    assert scaled is not None
    assert scaled.low == pytest.approx(there.low, rel=1e-6, abs=1e-9)


def test_a_single_turn_tells_no_band() -> None:
    assert noise_band(0.1, [100.0], STEADY) is None
    assert noise_band(0.1, STEADY, [100.0]) is None
    assert noise_band(0.1, [], []) is None


def test_turns_that_are_all_alike_leave_no_doubt() -> None:
    band = noise_band(0.1, [5.0, 5.0], [5.5, 5.5, 5.5])
    assert band is not None
    assert (band.low, band.high) == (0.1, 0.1)


def test_few_turns_make_a_wide_band() -> None:
    widths = []
    for count in (2, 3, 5, 10):
        band = noise_band(0.0, STEADY[:count], STEADY[:count])
        assert band is not None
        widths.append(band.high)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.01


def test_a_figure_worked_out_by_hand() -> None:
    # Ten turns: the second smallest and the second largest; below it with probability 11 / 1024, 2.3 deviations.
    turns = [math.exp(0.01 * index) for index in range(10)]
    band = noise_band(0.0, turns, turns)
    assert band is not None
    deviation = (0.08 - 0.01) / (2 * 2.29962)
    assert math.log1p(band.high) == pytest.approx(2.101 * deviation * math.sqrt(2), rel=1e-3)


def test_one_turn_in_ten_that_met_another_load_does_not_widen_it() -> None:
    disturbed = (*STEADY[:9], 1000.0)
    steady, wide = (noise_band(0.0, STEADY, turns) for turns in (STEADY, disturbed))
    assert steady is not None
    assert wide is not None
    assert wide.high < 1.6 * steady.high


@pytest.mark.parametrize(
    ("old", "new"), [(2, 2), (3, 3), (5, 5), (10, 10), (10, 3), (20, 20), (30, 10), (150, 150)]
)
@pytest.mark.parametrize("disturbed", [0.0, 0.1])
def test_how_often_it_holds_the_truth(old: int, new: int, disturbed: float) -> None:
    random = np.random.default_rng(7)

    def drawn(count: int) -> list[float]:
        load = np.where(random.random(count) < disturbed, 1.4, 1.0)
        return list(np.exp(random.normal(0, 0.03, count)) * load)

    held = 0
    for _ in range(600):
        before, now = drawn(old), drawn(new)
        band = noise_band(median(now) / median(before) - 1, before, now)
        assert band is not None
        held += band.low <= 0 <= band.high
    # 95 %, less three standard deviations of 600 trials.
    assert held / 600 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 600)
