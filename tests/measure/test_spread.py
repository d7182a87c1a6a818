"""How samples spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from u2forge.measure.spread import spread_of


def test_known_numbers() -> None:
    spread = spread_of([4, 1, 3, 2], [50, 90])
    assert (spread.count, spread.min, spread.max, spread.mean, spread.median) == (4, 1, 4, 2.5, 2.5)
    assert spread.percentiles == {50: 2.5, 90: pytest.approx(3.7)}
    assert spread.variation == pytest.approx(np.sqrt(1.25) / 2.5)
    assert spread.as_dict()["percentiles"] == {"p50": 2.5, "p90": pytest.approx(3.7)}


def test_samples_of_zero_have_no_variation() -> None:
    assert spread_of([0.0, 0.0]).variation == 0


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=50))
def test_the_order_of_its_figures(samples: list[float]) -> None:
    spread = spread_of(samples, [1, 50, 99])
    low, middle, high = spread.percentiles.values()
    slack = spread.max * 1e-12
    assert spread.min <= low + slack
    assert low <= middle + slack
    assert middle <= high + slack
    assert high <= spread.max + slack
    assert middle == pytest.approx(spread.median)
    assert spread.min - slack <= spread.mean <= spread.max + slack
