"""Numbers with names → a horizontal bar chart as SVG, in a page or as a file: its own colours, light or dark as the
reader has it, no script; labels that fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from u2forge.report.axis_ticks import tick_label, ticks
from u2forge.report.fit_text import fitted_to_width, printable, text_width
from u2forge.report.number_text import number_column
from u2forge.report.svg_plot import COLOURS

_SIZE, _TITLE_SIZE = 12, 14
# By how much bold letters are broader.
_BOLD = 1.12
_ROW, _BAR = 26, 16
_TOP, _AXIS, _LEGEND_LINE, _MARGIN = 40, 46, 20, 14
_TICK_SPACE = 70
# The most of the chart's width that names, and what stands behind the bars, may take.
_NAMES, _FIGURES = 0.42, 0.25
# A ground of its own: a file shown on a dark page does not learn of that page's colours.
_STYLE = (
    ".u2forge-bars{color:#1f2328}.u2forge-bars .ground{fill:#fff}"
    "@media(prefers-color-scheme:dark){.u2forge-bars{color:#e6e9ee}.u2forge-bars .ground{fill:#121212}}"
)
_FONT = 'font-family="system-ui, sans-serif" fill="currentColor"'


@dataclass(frozen=True)
class Bar:
    """One bar. value: at least 0; without one (NaN) only the note is shown. group: bars of a group have a colour, and
    a legend where there are several groups. note: stands behind the value. low, high: the ends of a whisker."""

    label: str
    value: float
    group: str = ""
    note: str = ""
    low: float = math.nan
    high: float = math.nan

    @property
    def is_drawn(self) -> bool:
        """Whether there is a value to draw."""
        return math.isfinite(self.value) and self.value >= 0

    @property
    def whisker(self) -> tuple[float, float] | None:
        """Both ends of the whisker, where there are such."""
        finite = self.is_drawn and math.isfinite(self.low) and math.isfinite(self.high)
        return (max(0.0, self.low), self.high) if finite and self.high > self.low else None

    @property
    def end(self) -> float:
        """Where the bar and its whisker end."""
        if not self.is_drawn:
            return 0.0
        return self.value if self.whisker is None else max(self.value, self.whisker[1])


@dataclass(frozen=True)
class _Frame:
    """The bars' rectangle in pixels, and the value at its right edge. names, figures: the room on both sides of it."""

    left: float
    width: float
    height: float
    top_value: float
    names: float
    figures: float

    def x(self, value: float) -> float:
        return self.left + value / self.top_value * self.width


def bar_chart(bars: Sequence[Bar], *, title: str, x_label: str, width: int = 760) -> str:
    """The `<svg>` element, which is a whole file too. width: in pixels; the height follows from the bars."""
    groups = list(dict.fromkeys(bar.group for bar in bars if bar.group))
    figures = _figures(bars)
    frame = _frame(bars, figures, width)
    legend = list(_legend(groups, width, frame.height + _TOP + _AXIS)) if len(groups) > 1 else []
    lines = legend[-1][1] + 1 if legend else 0
    height = _TOP + frame.height + _AXIS + _LEGEND_LINE * lines
    shown_title = fitted_to_width(title, width - 2 * _MARGIN, size=_TITLE_SIZE * _BOLD)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="u2forge-bars" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(printable(title))}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{width}" height="{height}" rx="6"/>',
        f'<text x="{_MARGIN}" y="24" font-size="{_TITLE_SIZE}" font-weight="600" {_FONT}>{escape(shown_title)}</text>',
        *_axis(frame, x_label, width),
        *(
            part
            for index, (bar, figure) in enumerate(zip(bars, figures, strict=True))
            for part in _bar(bar, figure, _TOP + _ROW * index, frame, _colour(bar, groups))
        ),
        *(part for part, _ in legend),
        "</svg>",
    ]
    return "\n".join(parts)


def _figures(bars: Sequence[Bar]) -> list[str]:
    """What stands behind each bar: its value, its note."""
    values = number_column([bar.value if bar.is_drawn else None for bar in bars])
    return [
        " · ".join(printable(part) for part in (value, bar.note) if part)
        for value, bar in zip(values, bars, strict=True)
    ]


def _frame(bars: Sequence[Bar], figures: Sequence[str], width: int) -> _Frame:
    names = min(_widest([printable(bar.label) for bar in bars]), _NAMES * width)
    behind = min(_widest(figures), _FIGURES * width)
    left = _MARGIN + names + 8
    return _Frame(
        left=left,
        width=width - _MARGIN - behind - 8 - left,
        height=_ROW * max(1, len(bars)),
        top_value=max([bar.end for bar in bars if bar.end > 1e-9], default=1.0),
        names=names,
        figures=behind,
    )


def _widest(texts: Sequence[str]) -> float:
    return max((text_width(text, size=_SIZE) for text in texts), default=0.0)


def _axis(frame: _Frame, x_label: str, width: int) -> Iterator[str]:
    most = max(1, min(6, int(frame.width / _TICK_SPACE)))
    values = ticks(0.0, frame.top_value, most=most)
    bottom = _TOP + frame.height
    for value in values:
        x = f"{frame.x(value):.1f}"
        yield f'<path d="M{x} {_TOP - 4}V{bottom}" stroke="currentColor" stroke-opacity=".15"/>'
        yield _text(
            tick_label(value, values[1] if len(values) > 1 else 1.0), frame.x(value), bottom + 15, "middle"
        )
    centre = frame.left + frame.width / 2
    room = 2 * min(centre, width - centre) - 2 * _MARGIN
    yield _text(fitted_to_width(x_label, room, size=_SIZE), centre, bottom + 34, "middle")


def _bar(bar: Bar, figure: str, top: float, frame: _Frame, colour: str) -> Iterator[str]:
    middle = top + _ROW / 2
    text_y = middle + 4
    yield f"<g><title>{escape(f'{printable(bar.label)}: {figure}')}</title>"
    yield _text(fitted_to_width(bar.label, frame.names, size=_SIZE), frame.left - 8, text_y, "end")
    if bar.is_drawn:
        length = frame.x(bar.value) - frame.left
        yield (
            f'<rect x="{frame.left:.1f}" y="{middle - _BAR / 2:.1f}" width="{length:.1f}" height="{_BAR}" '
            f'fill="{colour}"/>'
        )
    if bar.whisker is not None:
        low, high = map(frame.x, bar.whisker)
        yield (
            f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 4:.1f}v8M{high:.1f} {middle - 4:.1f}v8" '
            'stroke="currentColor" stroke-width="1.5" fill="none"/>'
        )
    yield _text(fitted_to_width(figure, frame.figures, size=_SIZE), frame.x(bar.end) + 8, text_y, "start")
    yield "</g>"


def _colour(bar: Bar, groups: Sequence[str]) -> str:
    return COLOURS[groups.index(bar.group) % len(COLOURS)] if bar.group else COLOURS[0]


def _legend(groups: Sequence[str], width: int, top: float) -> Iterator[tuple[str, int]]:
    """Each group's part, and the line that it stands on: as many in a line as fit."""
    x, line = float(_MARGIN), 0
    for index, group in enumerate(groups):
        text = fitted_to_width(group, width - 2 * _MARGIN - 18, size=_SIZE)
        room = 18 + text_width(text, size=_SIZE)
        if x > _MARGIN and x + room > width - _MARGIN:
            x, line = float(_MARGIN), line + 1
        y = top + _LEGEND_LINE * line
        colour = COLOURS[index % len(COLOURS)]
        yield (
            f'<rect x="{x:.1f}" y="{y - 6:.1f}" width="12" height="12" fill="{colour}"/>'
            + _text(text, x + 18, y + 4, "start"),
            line,
        )
        x += room + 18


def _text(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{_SIZE}" text-anchor="{anchor}" {_FONT}>{escape(text)}</text>'
