"""The bar chart: well-formed, escaped, bars as long as their values, labels that neither overlap nor overflow."""

from __future__ import annotations

import math
import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perf_rows import HOSTILE

from u2forge.report.fit_text import text_width
from u2forge.report.svg_bars import Bar, bar_chart
from u2forge.report.svg_plot import COLOURS

SVG = "{http://www.w3.org/2000/svg}"


def parsed(*bars: Bar, **options: object) -> ElementTree.Element:
    words = {"title": "t", "x_label": "pictures a second"}
    return ElementTree.fromstring(bar_chart(bars, **(words | options)))  # type: ignore[arg-type]


def texts(chart: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in chart.iter(f"{SVG}text")]


def bar_rects(chart: ElementTree.Element) -> list[ElementTree.Element]:
    return [rect for group in chart.iter(f"{SVG}g") for rect in group.iter(f"{SVG}rect")]


def boxes(chart: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """Left, right, top and bottom of each text, as wide as it may be."""
    found = []
    for element in chart.iter(f"{SVG}text"):
        size, x, y = (float(element.attrib[name]) for name in ("font-size", "x", "y"))
        width = text_width(element.text or "", size=size)
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[element.get("text-anchor", "start")]
        found.append((left, left + width, y - 0.8 * size, y + 0.2 * size))
    return found


def test_bars_are_as_long_as_their_values() -> None:
    rects = bar_rects(parsed(Bar("a", 10), Bar("b", 5), Bar("c", 0)))
    long, half, nothing = (float(rect.attrib["width"]) for rect in rects)
    assert half == pytest.approx(long / 2, abs=0.1)
    assert nothing == 0
    assert len({rect.attrib["x"] for rect in rects}) == 1


def test_labels_figures_notes_ticks_and_titles_are_there() -> None:
    chart = parsed(Bar("ours", 23.1, note="3.61×"), Bar("peer", 6.4), title="Speed")
    expected = ["Speed", "0", "5", "10", "15", "20", "pictures a second"]
    expected += ["ours", "23.10 · 3.61×", "peer", "6.40"]
    assert texts(chart) == expected
    assert (chart.attrib["role"], chart.attrib["aria-label"]) == ("img", "Speed")


def test_groups_have_colours_and_a_legend() -> None:
    chart = parsed(Bar("a", 1, group="int8"), Bar("b", 1, group="float32"), Bar("c", 1, group="int8"))
    assert [rect.attrib["fill"] for rect in bar_rects(chart)] == [COLOURS[0], COLOURS[1], COLOURS[0]]
    assert {"int8", "float32"} <= set(texts(chart))


def test_one_group_needs_no_legend() -> None:
    assert "int8" not in texts(parsed(Bar("a", 1, group="int8"), Bar("b", 1, group="int8")))


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_bar_without_a_value_has_its_note_only(value: float) -> None:
    chart = parsed(Bar("a", 2), Bar("b", value, note="failed", low=1, high=2))
    assert len(bar_rects(chart)) == 1
    assert "failed" in texts(chart)
    assert not re.search(r"\b(nan|inf)\b", ElementTree.tostring(chart, encoding="unicode"))


def whiskers(chart: ElementTree.Element) -> list[str]:
    return [path.attrib["d"] for group in chart.iter(f"{SVG}g") for path in group.iter(f"{SVG}path")]


def test_a_whisker_reaches_from_low_to_high_and_is_inside_the_chart() -> None:
    chart = parsed(Bar("a", 10, low=8, high=20))
    (path,) = whiskers(chart)
    low, high = (float(number) for number in re.findall(r"[MH]([\d.]+)", path)[:2])
    (rect,) = bar_rects(chart)
    left, width = float(rect.attrib["x"]), float(rect.attrib["width"])
    assert low - left == pytest.approx(0.8 * width, abs=0.2)
    assert high - left == pytest.approx(2 * width, abs=0.2)


def test_no_whisker_without_both_ends() -> None:
    assert whiskers(parsed(Bar("a", 10, low=8), Bar("b", 10, high=8), Bar("c", 10, low=9, high=9))) == []


def test_hostile_words_are_shown_as_text() -> None:
    text = bar_chart(
        [Bar(HOSTILE, 1, group=HOSTILE, note=HOSTILE), Bar("b", 1, group="g")], title=HOSTILE, x_label=HOSTILE
    )
    assert "<script" not in text
    assert text.encode()
    assert ElementTree.fromstring(text).tag == f"{SVG}svg"


def test_it_carries_its_own_colours_and_nothing_from_elsewhere() -> None:
    text = bar_chart([Bar("a", 1)], title="t", x_label="x")
    assert "prefers-color-scheme:dark" in text
    assert 'class="ground"' in text
    assert text.count("http") == 1  # the name space
    assert "<script" not in text


def test_no_bars_give_a_frame() -> None:
    assert "t" in texts(parsed())


names = st.one_of(
    st.just(HOSTILE), st.text(st.characters(), max_size=120), st.sampled_from(["W" * 90, "漢" * 70])
)
values = st.one_of(st.floats(0, 1e6), st.floats(allow_nan=True, allow_infinity=True))
bars = st.builds(Bar, names, values, group=names, note=names, low=values, high=values)


@settings(max_examples=40, deadline=None)
@given(st.lists(bars, max_size=12), st.integers(1, 4), names, st.sampled_from([300, 760, 1100]))
def test_words_neither_overlap_nor_leave_the_chart(
    some: list[Bar], times: int, title: str, width: int
) -> None:
    chart = parsed(*some[:10] * times, title=title, x_label=title, width=width)
    height = float(chart.attrib["height"])
    found = [box for box in boxes(chart) if box[1] > box[0]]
    for left, right, top, bottom in found:
        assert left >= 0
        assert right <= width
        assert top >= 0
        assert bottom <= height
    for one, other in combinations(found, 2):
        apart = one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]
        assert apart, (one, other)
