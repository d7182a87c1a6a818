"""A data set's figures and curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_cases import Pair, black, half, pairs, square, white

from u2forge.errors import InputError
from u2forge.evaluate.dataset_scores import DatasetScores
from u2forge.evaluate.protocols import FIGURES, PROTOCOLS, PictureScores, Protocol, score_picture


def score(pair: Pair, protocol: Protocol) -> PictureScores:
    mask, truth = pair
    prediction = mask.astype(np.float32) if protocol == "magicmind" else mask
    return score_picture(prediction, truth, protocol=protocol)


def total(sample: list[Pair], protocol: Protocol) -> DatasetScores:
    scores = DatasetScores(protocol)
    for pair in sample:
        scores.add(score(pair, protocol))
    return scores


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_data_set_of_one_picture_has_its_figures(protocol: Protocol) -> None:
    one = score((square(), np.roll(square(), 2, 1)), protocol)
    scores = total([(square(), np.roll(square(), 2, 1))], protocol)
    assert scores.images == 1
    assert tuple(scores.figures()) == FIGURES
    for name, value in scores.figures().items():
        own = getattr(one, name)
        assert value == (None if own is None else pytest.approx(own)), name


# The first mask selects all of a truth of a half, the second is perfect but at the threshold 0, where it is the same.
TWO = [(white(), half()), (half(), half())]
ALL_OF_HALF = 1.3 * 0.5 / (0.3 * 0.5 + 1)


def test_the_paper_takes_f_of_the_mean_precision_and_recall() -> None:
    figures = total(TWO, "paper").figures()
    assert figures["mae"] == 0.25
    assert figures["max_f"] == pytest.approx(1.3 * 0.75 / (0.3 * 0.75 + 1))
    assert figures["mean_f"] == pytest.approx((255 * figures["max_f"] + ALL_OF_HALF) / 256)
    assert figures["adaptive_f"] == pytest.approx((ALL_OF_HALF + 1) / 2)


def test_pysodmetrics_takes_the_mean_of_the_pictures_f() -> None:
    figures = total(TWO, "pysodmetrics").figures()
    assert figures["max_f"] == pytest.approx((ALL_OF_HALF + 1) / 2)


def test_the_maximum_is_of_the_mean_curve_not_the_mean_of_maxima() -> None:
    # Each is perfect at its own thresholds only: level 100 of 255 is background here, foreground there.
    truth = np.array([[0, 0, 255]], np.uint8)
    low = np.array([[0, 100, 255]], np.uint8), np.array([[0, 255, 255]], np.uint8)
    high = np.array([[0, 100, 255]], np.uint8), truth
    for protocol in ("paper", "pysodmetrics"):
        own = [score(pair, protocol).max_f for pair in (low, high)]
        assert own == [pytest.approx(1), pytest.approx(1)]
        assert total([low, high], protocol).figures()["max_f"] < 0.95


def test_magicmind_takes_f_of_the_mean_precision_and_recall() -> None:
    figures = total([(white(), half()), (half(), half())], "magicmind").figures()
    precision = (127.5 + 255) / 2
    assert figures["max_f"] == pytest.approx(1.3 * precision / (0.3 * precision + 1))
    assert figures["mae"] == 127.5 / 2
    assert [name for name, value in figures.items() if value is not None] == ["mae", "max_f"]


def test_a_black_label_spoils_magicminds_f_as_in_the_sample() -> None:
    scores = total([(half(), half()), (half(), black())], "magicmind")
    assert scores.figures()["max_f"] == 0
    assert scores.figures()["mae"] == 127.5 / 2
    assert np.isnan(scores.curves().recall).all()
    assert (scores.curves().f == 0).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_pictures_no_figures(protocol: Protocol) -> None:
    scores = DatasetScores(protocol)
    assert scores.images == 0
    assert scores.figures() == dict.fromkeys(FIGURES)
    assert np.isnan(scores.curves().f).all()


def test_curves_are_of_one_length_and_end_where_they_should() -> None:
    for protocol, count in (("paper", 256), ("pysodmetrics", 256), ("magicmind", 100)):
        curves = total(TWO, protocol).curves()
        arrays = (curves.thresholds, curves.precision, curves.recall, curves.f)
        assert {array.shape for array in arrays} == {(count,)}
        assert (np.diff(curves.thresholds) > 0).all()
        assert curves.recall[0] == 1
        assert (np.diff(curves.recall) <= 0).all()
    assert total(TWO, "paper").curves().thresholds[[0, 51, 255]].tolist() == [0, 0.2, 1]


@settings(max_examples=30, deadline=None)
@given(st.lists(pairs(), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_the_pictures_is_of_no_account(sample: list[Pair], random) -> None:  # type: ignore[no-untyped-def]
    shuffled = random.sample(sample, len(sample))
    for protocol in PROTOCOLS:
        first, second = total(sample, protocol).figures(), total(shuffled, protocol).figures()
        for name in FIGURES:
            expected = first[name]
            assert second[name] == (None if expected is None else pytest.approx(expected, rel=1e-12)), name


@settings(max_examples=30, deadline=None)
@given(st.lists(pairs(), min_size=1, max_size=4))
def test_pictures_that_come_twice_change_nothing(sample: list[Pair]) -> None:
    for protocol in PROTOCOLS:
        once, twice = total(sample, protocol).figures(), total(sample * 2, protocol).figures()
        for name in FIGURES:
            expected = once[name]
            assert twice[name] == (None if expected is None else pytest.approx(expected, rel=1e-12)), name


def test_scores_of_another_protocol_are_refused() -> None:
    with pytest.raises(
        InputError, match="expected scores by protocol 'paper'; found scores by protocol 'pysodmetrics'"
    ):
        DatasetScores("paper").add(score((half(), half()), "pysodmetrics"))
    with pytest.raises(InputError, match="found 'dice'"):
        DatasetScores("dice")  # type: ignore[arg-type]
