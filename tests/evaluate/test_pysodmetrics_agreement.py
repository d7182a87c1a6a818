"""The protocol pysodmetrics against the package itself: every figure, to 1e-6 of it."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_cases import Pair, black, half, pairs, perturbed, ramp, square, white
from PIL import Image

from u2forge.evaluate.dataset_scores import DatasetScores
from u2forge.evaluate.protocols import score_picture

package = pytest.importorskip("py_sod_metrics", reason="the package pysodmetrics is not installed")

# The figures are sums of float64 in another order. Relative, as a picture of one pixel has an E of 1e15.
TOLERANCE = 1e-6


def by_package(sample: list[Pair]) -> dict[str, float]:
    """The package's figures, by our names."""
    with warnings.catch_warnings():
        # Its Fmeasure is deprecated, and an empty quadrant divides by zero.
        warnings.simplefilter("ignore")
        error, structure, weighted = package.MAE(), package.Smeasure(), package.WeightedFmeasure()
        f, e = package.Fmeasure(), package.Emeasure()
        for mask, truth in sample:
            for metric in (error, structure, weighted, f, e):
                metric.step(mask, truth)
    of_f = f.get_results()["fm"]
    return {
        "mae": error.get_results()["mae"],
        "max_f": of_f["curve"].max(),
        "mean_f": of_f["curve"].mean(),
        "adaptive_f": of_f["adp"],
        "weighted_f": weighted.get_results()["wfm"],
        "s_measure": structure.get_results()["sm"],
        "e_measure": e.get_results()["em"]["curve"].mean(),
    }


def assert_agrees(sample: list[Pair]) -> None:
    scores = DatasetScores("pysodmetrics")
    for mask, truth in sample:
        scores.add(score_picture(mask, truth, protocol="pysodmetrics"))
    figures = scores.figures()
    for name, expected in by_package(sample).items():
        if math.isnan(expected):
            # Only S, of an object whose centroid is in the last row or column.
            assert name == "s_measure"
            assert 0 <= figures[name] <= 1
        else:
            assert figures[name] == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE), name


def one_pixel(mask: int, truth: int) -> Pair:
    return np.array([[mask]], np.uint8), np.array([[truth]], np.uint8)


HAND_MADE = {
    "perfect": (square(), square()),
    "inverted": (255 - square(), square()),
    "moved": (np.roll(square(), 3, 1), square()),
    "black": (black((20, 20)), square()),
    "white": (white((20, 20)), square()),
    "flat": (np.full((20, 20), 77, np.uint8), square()),
    "flat and large": (np.full((301, 399), 7, np.uint8), square(399)[:301]),
    "one bright pixel": (square(20, 3, 4), square()),
    "nothing to find": (ramp(), black((16, 16))),
    "nothing to find, nothing found": (black(), black()),
    "all to find": (ramp(), white((16, 16))),
    "half": (half(9, 13), half(9, 13)),
    "flat in each quadrant": (np.where(square() > 0, 200, 51).astype(np.uint8), square()),
    "low contrast": (100 + ramp() % 3, half(16, 16)),
    "object at the border": (black((9, 9)), square(9, 0, 3)),
    "grey truth": (ramp(), np.random.default_rng(3).integers(126, 131, (16, 16), np.uint8)),
    "a row": (ramp(1, 31), half(1, 31)),
    "a column": (ramp(31, 1), half(1, 31).T.copy()),
    "one pixel found": one_pixel(255, 255),
    "one pixel missed": one_pixel(0, 255),
    "one pixel invented": one_pixel(9, 0),
    "one pixel of grey": one_pixel(100, 255),
}


@pytest.mark.parametrize("case", HAND_MADE)
def test_hand_made_pairs(case: str) -> None:
    assert_agrees([HAND_MADE[case]])


def test_their_average() -> None:
    assert_agrees([pair for name, pair in HAND_MADE.items() if "pixel" not in name and "a " not in name])


@settings(max_examples=150, deadline=None)
@given(pairs())
def test_random_pairs(pair: Pair) -> None:
    assert_agrees([pair])


@settings(max_examples=25, deadline=None)
@given(st.lists(pairs(), min_size=2, max_size=5))
def test_averages_of_random_pairs(sample: list[Pair]) -> None:
    assert_agrees(sample)


@pytest.mark.shared
def test_real_masks(shared_data: Path) -> None:
    generator = np.random.default_rng(11)
    sample = []
    for path in sorted((shared_data / "ecssd" / "masks").iterdir())[::50]:
        truth = np.array(Image.open(path).convert("L"))
        sample.append((perturbed(truth, generator), truth))
    assert len(sample) == 20
    for pair in sample:
        assert_agrees([pair])
    assert_agrees(sample)
