"""The line plot: well-formed, escaped, right in its places, calm about odd numbers."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from u2forge.report.axis_ticks import tick_label, ticks
from u2forge.report.svg_plot import Rule, Series, line_plot

SVG = "{http://www.w3.org/2000/svg}"


def parsed(*series: Series, **options: object) -> ElementTree.Element:
    words = {"title": "t", "x_label": "x", "y_label": "y"}
    return ElementTree.fromstring(line_plot(series, **(words | options)))  # type: ignore[arg-type]


def texts(plot: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in plot.iter(f"{SVG}text")]


def lines(plot: ElementTree.Element) -> list[str]:
    """The paths of the series: what the inner element, which cuts them off, holds."""
    (inner,) = plot.iter(f"{SVG}svg") if plot.tag != f"{SVG}svg" else plot.findall(f".//{SVG}svg")
    return [path.attrib["d"] for path in inner.iter(f"{SVG}path")]


def test_the_ends_of_a_line_lie_in_the_corners() -> None:
    plot = parsed(Series("a", [0, 1], [0, 1]), x_range=(0, 1), y_range=(0, 1), width=540, height=360)
    (path,) = lines(plot)
    assert path == "M0.0 270.0L458.0 0.0"


def test_title_labels_legend_and_ticks_are_there() -> None:
    plot = parsed(
        Series("one", [0, 5], [0, 0.4]), Series("two", [0, 5], [0, 0.2]), title="Title", x_label="layers"
    )
    assert {"Title", "layers", "y", "one", "two"} <= set(texts(plot))
    assert plot.attrib["role"] == "img"
    assert plot.attrib["aria-label"] == "Title"


def test_words_are_escaped() -> None:
    nasty = '<script>alert("1")</script>&'
    text = line_plot([Series(nasty, [0, 1], [0, 1])], title=nasty, x_label=nasty, y_label=nasty)
    assert "<script" not in text
    assert texts(ElementTree.fromstring(text)).count(nasty) == 4


def test_points_that_are_not_finite_are_gaps() -> None:
    plot = parsed(Series("a", [0, 1, 2, 3, 4], [0, 1, math.nan, 1, math.inf], markers=True), y_range=(0, 1))
    (path,) = lines(plot)
    assert re.sub(r"[\d. ]", "", path) == "MLM"
    assert len(list(plot.iter(f"{SVG}circle"))) == 3


def x_ticks(plot: ElementTree.Element) -> list[str]:
    """The words just below the axis."""
    return [element.text or "" for element in plot.iter(f"{SVG}text") if element.get("y") == "286.0"]


def test_whole_numbers_along_x() -> None:
    series = Series("a", [0, 1, 2], [3, 2, 1])
    assert x_ticks(parsed(series, x_range=(0, 2), height=360)) == ["0.0", "0.5", "1.0", "1.5", "2.0"]
    assert x_ticks(parsed(series, x_range=(0, 2), height=360, whole_x=True)) == ["0", "1", "2"]


def test_a_rule_is_drawn_where_it_is_in_sight() -> None:
    series = Series("a", [0, 1], [0, 1])
    assert "limit" in texts(parsed(series, rule=Rule(2.0, "limit")))
    assert "limit" in texts(parsed(series, rule=Rule(0.5, "limit"), y_range=(0, 1)))
    assert "limit" not in texts(parsed(series, rule=Rule(2.0, "limit"), y_range=(0, 1)))


def test_no_series_and_empty_series_still_give_a_frame() -> None:
    assert texts(parsed())
    assert lines(parsed(Series("a", [], []))) == [""]


def test_series_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="found 2 and 1"):
        Series("a", [0, 1], [0])


numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(st.lists(st.tuples(numbers, numbers), max_size=6))
def test_any_numbers_give_a_plot_with_finite_places(points: list[tuple[float, float]]) -> None:
    plot = parsed(Series("a", [x for x, _ in points], [y for _, y in points], markers=True))
    text = ElementTree.tostring(plot, encoding="unicode")
    assert not re.search(r"\b(nan|inf)\b", text)
    assert len(text) < 60_000


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 255, False, [0, 50, 100, 150, 200, 250]),
        (-0.3, 0.3, False, [-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3]),
        (0, 3, True, [0, 1, 2, 3]),
        (0, 119, True, [0, 20, 40, 60, 80, 100]),
    ],
)
def test_ticks_are_round(low: float, high: float, whole: bool, expected: list[float]) -> None:
    assert ticks(low, high, whole=whole) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "step", "label"),
    [
        (0.2, 0.2, "0.2"),
        (-0.0, 0.1, "0.0"),
        (150, 50, "150"),
        (0.0005, 0.0005, "0.0005"),
        (1e-9, 1e-9, "1e-09"),
    ],
)
def test_tick_labels(value: float, step: float, label: str) -> None:
    assert tick_label(value, step) == label
