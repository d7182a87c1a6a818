"""Names as others wrote them → text that fits: on one line, nothing in it that is obeyed or hidden, short enough."""

from __future__ import annotations

import unicodedata

# Widths in shares of the font's size, on the broad side: of DejaVu Sans, the broadest that `system-ui` may stand for.
_NARROW, _BROAD, _WIDE = 0.41, 1.0, 1.1
_CAPITAL, _OTHER = 0.75, 0.65


def printable(text: str) -> str:
    """The text with what a terminal, page or file cannot bear as its escape: newlines, control characters, marks that
    turn the direction of writing, the undecodable bytes of a file's name."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def fitted(text: str, most: int) -> str:
    """The printable text with at most so many characters, its middle left out: models differ at their ends."""
    text = printable(text)
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def fitted_to_width(text: str, pixels: float, *, size: float) -> str:
    """The printable text, its middle left out where it is wider than that in a font of that size."""
    text = printable(text)
    # What is longer than this is wider too, whatever it consists of.
    count = min(len(text), int(pixels / (size * _NARROW)) + 1)
    while count > 1 and text_width(fitted(text, count), size=size) > pixels:
        count -= 1
    return fitted(text, count)


def text_width(text: str, *, size: float) -> float:
    """About how wide the text is, in pixels, rather too wide than too narrow."""
    return size * sum(map(_width, text))


def _width(one: str) -> float:
    if unicodedata.east_asian_width(one) in "WF":
        return _WIDE
    if one in "ijlI.,:;'|!()[]ft -/":
        return _NARROW
    if one in "mwMW@%…—":
        return _BROAD
    return _CAPITAL if one.isupper() else _OTHER
