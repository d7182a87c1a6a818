"""When figures are not to be trusted, that is said."""

from __future__ import annotations

import numpy as np
import pytest

from u2forge.measure.spread import spread_of
from u2forge.measure.stability import (
    load_warnings,
    memory_warnings,
    percentile_warnings,
    repeat_noise,
    samples_needed,
    turn_drift,
    turn_warnings,
)


def test_steady_samples_are_not_warned_of() -> None:
    assert turn_warnings(spread_of([10.0, 10.2, 9.9, 10.1]), [10.0, 10.1, 9.9, 10.0, 10.1, 10.0]) == []


def test_scattered_samples_are() -> None:
    (said,) = turn_warnings(spread_of([10.0, 14.0, 7.0, 12.0]), [10.0] * 6)
    assert said.startswith("unstable: the latency varies by 24%")


@pytest.mark.parametrize(
    ("medians", "words"),
    [
        ([10, 10.1, 10, 10.5, 11, 11.1, 11], "10% slower than the first"),
        ([11, 11.1, 10, 10, 10.1, 10], "9% faster than the first"),
    ],
)
def test_a_drift_is(medians: list[float], words: str) -> None:
    drifts = [said for said in turn_warnings(spread_of([10.0, 10.0]), medians) if said.startswith("drift")]
    assert len(drifts) == 1
    assert words in drifts[0]


def test_noise_is_no_drift_and_few_turns_tell_none() -> None:
    assert turn_drift([10, 12, 8, 11, 9, 13, 10, 8, 14]) is None
    assert turn_drift([10, 10, 10, 20, 20]) is None
    assert turn_drift([10, 10.1, 15, 15, 20, 20.2]) == pytest.approx(1.0)


def test_runs_of_medians_that_may_differ_are_warned_of() -> None:
    """Of pairs of runs with the same truth, those that differ by more than 5 % are nearly always warned of."""
    random = np.random.default_rng(0)
    unwarned, apart = 0, 0
    for _ in range(400):
        scatter = random.uniform(0.02, 0.15)
        runs = 100 * np.exp(random.normal(0, scatter, (2, 10)))
        medians = np.median(runs, axis=1)
        if abs(medians[1] / medians[0] - 1) > 0.05:
            apart += 1
            unwarned += not any(turn_warnings(spread_of(run), run) for run in runs)
    assert apart > 50
    assert unwarned <= 0.05 * apart
    assert repeat_noise([100.0, 100.5, 99.5, 100.2, 99.9, 100.1]) < 0.02  # type: ignore[operator]


def test_a_single_turn_tells_nothing_of_another_run() -> None:
    assert repeat_noise([10.0]) is None
    assert turn_warnings(spread_of([10.0]), [10.0]) == [
        "a single turn: how far another run would be off is not known; measure longer with --duration"
    ]


def test_memory_that_runs_short() -> None:
    assert memory_warnings(2_000_000_000, 8_000_000_000) == []
    (said,) = memory_warnings(200_000_000, 8_000_000_000)
    assert said.startswith("memory: 200 MB were left with all candidates open")


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
