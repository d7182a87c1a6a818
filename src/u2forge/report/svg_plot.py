"""Series of numbers → a line plot as inline SVG: axes, ticks, legend; readable on light and dark pages, no script."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from u2forge.report.axis_ticks import tick_label, ticks

# Of middle lightness, so that they stand out from white and from black; told apart by dashes too.
COLOURS = ("#2b7fd0", "#d9772b", "#23a06b", "#c8507a", "#8b6fd6", "#8a8d33")
_DASHES = ("", "7 4", "2 3", "9 3 2 3", "12 4", "4 4")
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 16, 34, 56
_LEGEND_LINE = 18
_FONT = 'font-family="system-ui, sans-serif" fill="currentColor"'


@dataclass(frozen=True)
class Series:
    """One line. x, y: of one length; points that are not finite are gaps. markers: a dot at each point."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    markers: bool = False

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"x and y of one length expected; found {len(self.x)} and {len(self.y)}")


@dataclass(frozen=True)
class Rule:
    """A horizontal line across the plot: a limit, say."""

    y: float
    label: str


@dataclass(frozen=True)
class _Frame:
    """The plot's inner rectangle in pixels, and the values at its edges."""

    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        low, high = self.x_range
        return (value - low) / (high - low) * self.width

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.height - (value - low) / (high - low) * self.height


def line_plot(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_range: tuple[float | None, float | None] = (None, None),
    y_range: tuple[float | None, float | None] = (None, None),
    whole_x: bool = False,
    rule: Rule | None = None,
    width: int = 540,
    height: int = 360,
) -> str:
    """The `<svg>` element. x_range, y_range: what the axes show, None for the data's own end (and the rule's); what
    lies outside is cut off. whole_x: ticks at whole numbers only. width, height: in pixels, without the legend."""
    legend = [one.label for one in series]
    frame = _Frame(
        width=width - _LEFT - _RIGHT,
        height=height - _TOP - _BOTTOM,
        x_range=_shown_range([value for one in series for value in one.x], x_range),
        y_range=_shown_range([v for one in series for v in one.y] + ([rule.y] if rule else []), y_range),
    )
    full_height = height + _LEGEND_LINE * len(legend)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {full_height}" width="{width}" '
        f'height="{full_height}" role="img" aria-label="{escape(title)}">',
        f'<text x="{_LEFT}" y="20" font-size="14" font-weight="600" {_FONT}>{escape(title)}</text>',
        f'<g transform="translate({_LEFT} {_TOP})">',
        *_axes(frame, x_label, y_label, whole_x=whole_x),
        # A nested <svg> cuts off what lies outside it.
        f'<svg width="{frame.width}" height="{frame.height}" overflow="hidden">',
        *(_line(one, index, frame) for index, one in enumerate(series)),
        "</svg>",
        *(dot for index, one in enumerate(series) if one.markers for dot in _dots(one, index, frame)),
        *([] if rule is None else _drawn_rule(rule, frame)),
        "</g>",
        *(_legend_line(label, index, height) for index, label in enumerate(legend)),
        "</svg>",
    ]
    return "\n".join(parts)


def _shown_range(values: Sequence[float], wanted: tuple[float | None, float | None]) -> tuple[float, float]:
    """The range that is wanted, its open ends those of the data; never empty."""
    finite = [value for value in values if math.isfinite(value)]
    low = wanted[0] if wanted[0] is not None else min(finite, default=0.0)
    high = wanted[1] if wanted[1] is not None else max(finite, default=low + 1)
    if high > low:
        # An open end leaves the outermost points a little room.
        room = (high - low) * 0.04
        return (
            low - room if wanted[0] is None and low != 0 else low,
            high + room if wanted[1] is None else high,
        )
    half = abs(low) / 2 or 0.5
    return (low - half if wanted[0] is None else low, low + half)


def _axes(frame: _Frame, x_label: str, y_label: str, *, whole_x: bool) -> Iterator[str]:
    x_ticks = ticks(*frame.x_range, whole=whole_x)
    y_ticks = ticks(*frame.y_range)
    for value, label in _labelled(y_ticks):
        y = f"{frame.y(value):.1f}"
        yield f'<path d="M0 {y}H{frame.width}" stroke="currentColor" stroke-opacity=".15"/>'
        yield _text(label, -8, frame.y(value) + 4, anchor="end")
    for value, label in _labelled(x_ticks):
        x = f"{frame.x(value):.1f}"
        yield f'<path d="M{x} 0V{frame.height}" stroke="currentColor" stroke-opacity=".15"/>'
        yield _text(label, frame.x(value), frame.height + 16)
    yield (
        f'<path d="M0 0V{frame.height}H{frame.width}" fill="none" stroke="currentColor" stroke-opacity=".6"/>'
    )
    yield _text(x_label, frame.width / 2, frame.height + 36)
    yield (
        f'<text transform="translate({10 - _LEFT} {frame.height / 2}) rotate(-90)" font-size="12" '
        f'text-anchor="middle" {_FONT}>{escape(y_label)}</text>'
    )


def _labelled(values: Sequence[float]) -> Iterator[tuple[float, str]]:
    step = values[1] - values[0] if len(values) > 1 else abs(values[0]) or 1.0 if values else 1.0
    for value in values:
        yield value, tick_label(value, step)


def _text(text: str, x: float, y: float, *, anchor: str = "middle") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" text-anchor="{anchor}" {_FONT}>{escape(text)}</text>'
    )


def _line(series: Series, index: int, frame: _Frame) -> str:
    path = "".join(_path(series, frame))
    return f'<path d="{path}" fill="none" stroke-width="2" stroke-linejoin="round" {_stroke(index)}/>'


def _dots(series: Series, index: int, frame: _Frame) -> Iterator[str]:
    """A dot at each point that is within the ranges; it may reach over the edge."""
    colour = COLOURS[index % len(COLOURS)]
    for x, y in zip(series.x, series.y, strict=True):
        if frame.x_range[0] <= x <= frame.x_range[1] and frame.y_range[0] <= y <= frame.y_range[1]:
            yield f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3" fill="{colour}"/>'


def _path(series: Series, frame: _Frame) -> Iterator[str]:
    """Move and line commands; a new move behind each gap."""
    command = "M"
    for x, y in zip(series.x, series.y, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            yield f"{command}{frame.x(x):.1f} {frame.y(y):.1f}"
            command = "L"
        else:
            command = "M"


def _stroke(index: int) -> str:
    dashes = _DASHES[index % len(_DASHES)]
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'stroke="{COLOURS[index % len(COLOURS)]}"{dash}'


def _drawn_rule(rule: Rule, frame: _Frame) -> Iterator[str]:
    low, high = frame.y_range
    if not low <= rule.y <= high:
        return
    y = frame.y(rule.y)
    yield f'<path d="M0 {y:.1f}H{frame.width}" stroke="currentColor" stroke-width="1.5" stroke-dasharray="6 3"/>'
    below_top_edge = y > 16
    yield _text(rule.label, frame.width - 4, y - 5 if below_top_edge else y + 14, anchor="end")


def _legend_line(label: str, index: int, top: int) -> str:
    y = top + _LEGEND_LINE * index
    return (
        f'<path d="M{_LEFT} {y}h28" stroke-width="2" fill="none" {_stroke(index)}/>'
        f'<text x="{_LEFT + 36}" y="{y + 4}" font-size="12" {_FONT}>{escape(label)}</text>'
    )
