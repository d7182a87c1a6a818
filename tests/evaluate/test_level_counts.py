"""The joint histogram of a mask and a truth."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from mask_cases import Pair, pairs, patient

from u2forge.evaluate.level_counts import level_counts


def test_levels_are_counted_apart() -> None:
    counts = level_counts(
        np.array([[0, 255, 7], [7, 7, 255]], np.uint8), np.array([[0, 1, 1], [0, 1, 0]], bool)
    )
    assert counts.foreground[[0, 7, 255]].tolist() == [0, 2, 1]
    assert counts.background[[0, 7, 255]].tolist() == [1, 1, 1]


@patient
@given(pairs())
def test_each_level_is_counted_as_by_hand(pair: Pair) -> None:
    mask, truth = pair[0], pair[1] > 127
    counts = level_counts(mask, truth)
    assert counts.foreground.shape == counts.background.shape == (256,)
    for level in range(256):
        assert counts.foreground[level] == np.count_nonzero(mask[truth] == level)
        assert counts.background[level] == np.count_nonzero(mask[~truth] == level)
