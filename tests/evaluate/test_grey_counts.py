"""The counts of MagicMind's sample, against its arithmetic in a loop."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from mask_cases import Pair, pairs, patient

from u2forge.evaluate.grey_counts import GREY_THRESHOLDS, grey_counts


@patient
@given(pairs(), st.sampled_from([1.0, 0.25, 1 / 255, 1e-3]))
def test_counts_are_those_of_a_loop(pair: Pair, factor: float) -> None:
    prediction, label = pair[0].astype(np.float32) * np.float32(factor), pair[1]
    counts = grey_counts(prediction, label)
    assert (counts.pixels, counts.foreground) == (label.size, label.sum(dtype=int))
    for index, threshold in enumerate(GREY_THRESHOLDS):
        is_selected = prediction.astype(np.float64) >= threshold
        assert counts.selected[index] == np.count_nonzero(is_selected)
        assert counts.hits[index] == label[is_selected].sum(dtype=int)


def test_thresholds_run_from_zero_to_just_below_one() -> None:
    assert GREY_THRESHOLDS.size == 100
    assert (GREY_THRESHOLDS[0], GREY_THRESHOLDS[-1]) == (0, 1 - 1e-10)


def test_a_value_at_a_threshold_reaches_it_and_one_below_zero_none() -> None:
    prediction = np.array([[0, 1, -1, np.float32(0.5)]], np.float32)
    counts = grey_counts(prediction, np.array([[1, 2, 4, 8]], np.uint8))
    assert (counts.hits[0], counts.hits[1], counts.hits[99]) == (11, 10, 2)
    assert counts.pixels == 4
