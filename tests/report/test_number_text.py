"""Numbers as text."""

import math

import pytest

from u2forge.report.number_text import fixed_number, number_column, percent, short_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.35123, "0.3512"),
        (6.4213, "6.421"),
        (1234.567, "1235"),
        (1_234_567.0, "1234567"),
        (3e12, "3e+12"),
        (2e-12, "2e-12"),
        (-6.4213, "-6.421"),
        (0.0, "0"),
        (None, ""),
        (math.nan, ""),
        (math.inf, ""),
    ],
)
def test_digits_that_count(value: float | None, text: str) -> None:
    assert short_number(value) == text


def test_a_column_has_the_decimals_that_its_smallest_needs() -> None:
    assert number_column([123.456, 9.3, None]) == ["123.46", "9.30", ""]
    assert number_column([0.0, 150.0]) == ["0", "150"]
    assert number_column([1e-9, 1.0]) == ["0.0000", "1.0000"]
    assert number_column([math.nan, math.inf]) == ["", ""]
    assert number_column([]) == []


def test_milliseconds_and_percents() -> None:
    assert fixed_number(1.23456) == "1.235"
    assert fixed_number(1.23456, 0) == "1"
    assert fixed_number(math.nan) == fixed_number(None) == ""
    assert percent(0.0613) == "6.1"
    assert percent(None) == ""
