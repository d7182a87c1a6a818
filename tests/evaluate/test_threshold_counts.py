"""The counts behind the curves: by hand, and through JSON and back."""

from __future__ import annotations

import base64
import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from mask_cases import Pair, pairs, patient, ramp

from u2forge.evaluate.level_counts import level_counts
from u2forge.evaluate.level_scale import divided_by_maximum
from u2forge.evaluate.threshold_counts import ThresholdCounts, counts_of_steps, threshold_counts


def counts_of(pair: Pair) -> ThresholdCounts:
    return threshold_counts(level_counts(pair[0], pair[1] > 127), divided_by_maximum(pair[0]))


@patient
@given(pairs())
def test_each_threshold_selects_as_by_hand(pair: Pair) -> None:
    mask, truth = pair[0].astype(int), pair[1] > 127
    counts = counts_of(pair)
    assert (counts.foreground, counts.pixels) == (np.count_nonzero(truth), truth.size)
    for step in range(256):
        is_selected = mask * 255 >= step * max(mask.max(), 1)
        assert counts.selected[step] == np.count_nonzero(is_selected)
        assert counts.hits[step] == np.count_nonzero(is_selected & truth)


@patient
@given(pairs())
def test_counts_fall_as_the_threshold_rises(pair: Pair) -> None:
    counts = counts_of(pair)
    assert (np.diff(counts.selected) <= 0).all()
    assert (np.diff(counts.hits) <= 0).all()
    assert (counts.hits <= counts.selected).all()


@patient
@given(pairs())
def test_nothing_is_lost_through_json(pair: Pair) -> None:
    counts = counts_of(pair)
    back = ThresholdCounts.from_dict(json.loads(json.dumps(counts.as_dict())))
    assert back.selected.tolist() == counts.selected.tolist()
    assert back.hits.tolist() == counts.hits.tolist()
    assert (back.foreground, back.pixels) == (counts.foreground, counts.pixels)


def test_counts_beyond_32_bits_survive() -> None:
    huge = np.array([1, 2**40], np.int64)
    counts = counts_of_steps(huge, huge, foreground=2**41, below=3)
    back = ThresholdCounts.from_dict(json.loads(json.dumps(counts.as_dict())))
    assert back.hits.tolist() == [2**40 + 1, 2**40]
    assert back.pixels == 2**40 + 4


def test_pixels_that_reach_no_threshold_count_as_pixels_only() -> None:
    counts = counts_of_steps(np.array([2, 3]), np.array([1, 3]), foreground=4, below=5)
    assert (counts.selected.tolist(), counts.hits.tolist(), counts.pixels) == ([5, 3], [4, 3], 10)


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": "?"},
        {"steps": packed(b"not packed")},
        {"steps": packed(zlib.compress(b"too short"))},
        {"steps": packed(zlib.compress(bytes(10_000_000)))},
        {"thresholds": 255},
        {"thresholds": -1},
        {"foreground": "many"},
    ],
)
def test_broken_counts_are_refused(changes: dict[str, object]) -> None:
    good = counts_of((ramp(), ramp())).as_dict()
    with pytest.raises(ValueError):  # noqa: PT011 - the journal says where
        ThresholdCounts.from_dict({**good, **changes})
