"""One picture's scores by each protocol: known answers, refusals, and through JSON and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from mask_cases import Pair, black, half, pairs, patient, ramp, square, white

from u2forge.errors import InputError
from u2forge.evaluate.protocols import FIGURES, PROTOCOLS, PictureScores, Protocol, score_picture

MASK_PROTOCOLS: list[Protocol] = ["paper", "pysodmetrics"]


def score(mask: np.ndarray, truth: np.ndarray, protocol: Protocol) -> PictureScores:
    prediction = mask.astype(np.float32) if protocol == "magicmind" else mask
    return score_picture(prediction, truth, protocol=protocol)


def figures_of(scores: PictureScores) -> dict[str, float | None]:
    return {name: getattr(scores, name) for name in FIGURES}


def test_the_names_are_what_others_build_on() -> None:
    assert PROTOCOLS == ("paper", "pysodmetrics", "magicmind")
    assert " ".join(FIGURES) == "mae max_f mean_f adaptive_f weighted_f s_measure e_measure relaxed_f"


@pytest.mark.parametrize("protocol", MASK_PROTOCOLS)
def test_a_perfect_mask(protocol: Protocol) -> None:
    scores = score(square(), square(), protocol)
    assert scores.mae == 0
    # At the threshold 0 all is selected: a quarter is right in F, nothing aligns in E.
    all_selected = 1.3 * 0.25 / (0.3 * 0.25 + 1)
    assert scores.mean_f == pytest.approx((255 + all_selected) / 256)
    assert scores.e_measure == pytest.approx((255 + 0.25) / 256 * 400 / 399)
    for name in ("max_f", "adaptive_f", "weighted_f", "s_measure", "relaxed_f"):
        assert getattr(scores, name) == pytest.approx(1), name


@pytest.mark.parametrize("protocol", MASK_PROTOCOLS)
def test_an_inverted_mask(protocol: Protocol) -> None:
    scores = score(255 - square(), square(), protocol)
    assert scores.mae == 1
    assert scores.max_f == pytest.approx(1.3 * 0.25 / (0.3 * 0.25 + 1))
    for name in ("adaptive_f", "weighted_f", "s_measure"):
        assert getattr(scores, name) == pytest.approx(0, abs=1e-12), name


@pytest.mark.parametrize("protocol", MASK_PROTOCOLS)
def test_nothing_found_and_nothing_to_find(protocol: Protocol) -> None:
    found_nothing = score(black((20, 20)), square(), protocol)
    assert (found_nothing.mae, found_nothing.relaxed_f) == (0.25, 0)
    assert found_nothing.weighted_f == pytest.approx(0, abs=1e-12)
    nothing_to_find = score(black(), black(), protocol)
    assert (nothing_to_find.mae, nothing_to_find.s_measure, nothing_to_find.max_f) == (0, 1, 0)
    # Thresholds 1 to 255 select nothing, as it should be; 0 selects all.
    assert nothing_to_find.e_measure == pytest.approx(255 / 256 * 64 / 63)


@pytest.mark.parametrize("protocol", MASK_PROTOCOLS)
def test_all_found_and_all_to_find(protocol: Protocol) -> None:
    scores = score(white(), white(), protocol)
    assert (scores.mae, scores.max_f, scores.mean_f, scores.s_measure) == (0, 1, 1, 1)
    assert score(white(), half(), protocol).mae == 0.5


def test_the_paper_divides_and_pysodmetrics_stretches() -> None:
    # Levels 50 and 100: divided 0.5 and 1, stretched 0 and 1.
    mask = np.where(half() > 0, 100, 50).astype(np.uint8)
    assert score(mask, half(), "paper").mae == pytest.approx(0.25)
    assert score(mask, half(), "pysodmetrics").mae == 0


def test_a_grey_of_128_is_foreground_in_the_paper_only() -> None:
    truth = np.where(half() > 0, 128, 127).astype(np.uint8)
    assert score(half(), truth, "paper").mae == 0
    assert score(half(), truth, "pysodmetrics").mae == 0.5


def test_relaxed_f_looks_above_one_half() -> None:
    mask = np.where(square() > 0, 100, 0).astype(np.uint8)
    mask[:2, :2] = 51
    for protocol in MASK_PROTOCOLS:
        assert score(mask, square(), protocol).relaxed_f < 1
    mask[:2, :2] = 50
    for protocol in MASK_PROTOCOLS:
        assert score(mask, square(), protocol).relaxed_f == pytest.approx(1)


def test_magicmind_is_off_scale() -> None:
    # All pixels reach the threshold 0; the others only those that are not 0.
    scores = score(half(), half(), "magicmind")
    assert scores.mae == 0
    assert scores.max_f == pytest.approx(1.3 * 255 / (0.3 * 255 + 1))
    inverted = score(255 - half(), half(), "magicmind")
    assert inverted.mae == 255
    assert inverted.max_f == pytest.approx(1.3 * 127.5 / (0.3 * 127.5 + 1))
    assert score(black(), half(), "magicmind").mae == 127.5
    assert {name for name, value in figures_of(scores).items() if value is not None} == {"mae", "max_f"}


def test_magicmind_of_a_black_label_divides_zero_by_zero() -> None:
    scores = score(half(), black(), "magicmind")
    precision, recall = scores.curves()
    assert (precision == 0).all()
    assert np.isnan(recall).all()
    assert scores.max_f == 0


@patient
@given(pairs())
def test_magicmind_is_the_samples_arithmetic(pair: Pair) -> None:
    prediction, label = pair[0].astype(np.float32), pair[1].astype(np.float64)
    scores = score(*pair, "magicmind")
    best = 0.0
    for threshold in np.linspace(0, 1 - 1e-10, 100):
        mask = (prediction >= threshold).astype(np.float64)
        hits = (mask * label).sum()
        precision = hits / (mask.sum() + 1e-20)
        recall = hits / label.sum() if label.any() else np.nan
        if 0.3 * precision + recall > 0:
            best = max(best, 1.3 * precision * recall / (0.3 * precision + recall))
    assert scores.max_f == pytest.approx(best, rel=1e-12)
    assert scores.mae == pytest.approx(np.abs(prediction - label).mean(), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_is_lost_through_json(protocol: Protocol) -> None:
    scores = score(ramp(), half(16, 16), protocol)
    line = json.dumps(scores.as_dict(), separators=(",", ":"))
    back = PictureScores.from_dict(json.loads(line))
    assert back.protocol == protocol
    assert figures_of(back) == figures_of(scores)
    for before, after in zip(scores.curves(), back.curves(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert len(line) < 4000


@patient
@given(pairs())
def test_every_picture_survives_json(pair: Pair) -> None:
    for protocol in PROTOCOLS:
        scores = score(*pair, protocol)
        back = PictureScores.from_dict(json.loads(json.dumps(scores.as_dict())))
        assert figures_of(back) == figures_of(scores)
        np.testing.assert_array_equal(back.curves(), scores.curves())


def test_broken_scores_are_refused() -> None:
    good = score(half(), half(), "paper").as_dict()
    with pytest.raises(ValueError, match="thresholds of 'magicmind' expected; found 256"):
        PictureScores.from_dict({**good, "protocol": "magicmind"})
    with pytest.raises(ValueError, match="expected one of paper, pysodmetrics, magicmind; found 'papers'"):
        PictureScores.from_dict({**good, "protocol": "papers"})
    with pytest.raises(KeyError):
        PictureScores.from_dict({"protocol": "paper"})


def test_wrong_arrays_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"'prediction': expected uint8 \(H, W\).*'paper'; found float32 \(8, 8\)"
    ):
        score_picture(half().astype(np.float32), half(), protocol="paper")
    with pytest.raises(InputError, match=r"expected float32 \(H, W\).*'magicmind'; found uint8 \(8, 8\)"):
        score_picture(half(), half(), protocol="magicmind")
    with pytest.raises(InputError, match=r"'truth': expected uint8 .* found bool \(8, 8\)"):
        score_picture(half(), half() > 0, protocol="paper")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"expected the ground truth's shape, \(8, 8\); found \(8, 9\)"):
        score_picture(half(8, 9), half(), protocol="paper")
    with pytest.raises(InputError, match=r"found uint8 \(1, 8, 8\)"):
        score_picture(half()[None], half()[None], protocol="paper")
    with pytest.raises(InputError, match=r"at least 1×1"):
        score_picture(black((0, 4)), black((0, 4)), protocol="paper")
    with pytest.raises(InputError, match="found NaN"):
        score_picture(np.full((8, 8), np.nan, np.float32), half(), protocol="magicmind")
    with pytest.raises(InputError, match="expected one of paper, pysodmetrics, magicmind; found 'dice'"):
        score_picture(half(), half(), protocol="dice")  # type: ignore[arg-type]


def test_arrays_are_left_as_they_were_and_may_be_views() -> None:
    mask, truth = ramp(), half(16, 16)
    copies = mask.copy(), truth.copy()
    for protocol in PROTOCOLS:
        flipped = score(mask[:, ::-1], truth[:, ::-1], protocol)
        copied = score(mask[:, ::-1].copy(), truth[:, ::-1].copy(), protocol)
        assert figures_of(flipped) == figures_of(copied)
    assert (mask == copies[0]).all()
    assert (truth == copies[1]).all()
