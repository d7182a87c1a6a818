"""When figures are not to be trusted, that is said."""

from __future__ import annotations

import pytest

from u2forge.measure.spread import spread_of
from u2forge.measure.stability import (
    load_warnings,
    percentile_warnings,
    samples_needed,
    turn_drift,
    turn_warnings,
)


def test_steady_samples_are_not_warned_of() -> None:
    assert turn_warnings(spread_of([10.0, 10.2, 9.9, 10.1]), [10.0, 10.1, 9.9, 10.0, 10.1, 10.0]) == []


def test_scattered_samples_are() -> None:
    (said,) = turn_warnings(spread_of([10.0, 14.0, 7.0, 12.0]), [])
    assert said.startswith("unstable: the latency varies by 24%")


@pytest.mark.parametrize(
    ("medians", "words"),
    [
        ([10, 10, 10, 11, 11, 11], "10% slower than the first"),
        ([11, 11, 10, 10, 10, 10], "9% faster than the first"),
    ],
)
def test_a_drift_is(medians: list[float], words: str) -> None:
    (said,) = turn_warnings(spread_of([10.0, 10.0]), medians)
    assert words in said


def test_few_turns_tell_no_drift() -> None:
    assert turn_drift([10, 10, 10, 20, 20]) is None
    assert turn_drift([10, 10, 15, 15, 20, 20]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("percent", "needed"), [(50, 2), (90, 10), (95, 20), (99, 100), (99.9, 1000), (1, 100)]
)
def test_samples_that_a_percentile_needs(percent: float, needed: int) -> None:
    assert samples_needed(percent) == needed
    assert percentile_warnings(needed, [percent]) == []
    assert len(percentile_warnings(needed - 1, [percent])) == 1


def test_the_warning_names_percentiles_and_remedy() -> None:
    (said,) = percentile_warnings(30, [50, 95, 99, 99.9])
    assert said == (
        "too few samples for p99, p99.9: 30, of at least 1000; measure longer with --iterations 1000"
    )


def test_other_programs() -> None:
    assert load_warnings(None) == []
    assert load_warnings(0.05) == []
    (said,) = load_warnings(0.31)
    assert said.startswith("other programs used 31% of the processors meanwhile")
