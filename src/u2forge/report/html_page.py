"""The frame of every page: one HTML file without script, nothing loaded from anywhere, light or dark as the reader
has it; and its parts: tables, pictures, paragraphs. All text is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } h3 { font-size: .95rem; }
h1, h2, h3, p { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .5rem; text-align: right; }
th.word, td.word { text-align: left; }
.pictures { display: grid; gap: 1.5rem; }
figure { margin: 0; } figcaption { font-size: 13px; margin-bottom: .3rem; overflow-wrap: anywhere; }
.row { display: grid; grid-template-columns: repeat(var(--columns, 3), minmax(0, 1fr)); gap: .5rem; }
.row img { max-width: 100%; max-height: 260px; border: 1px solid var(--line); border-radius: 4px; }
.heading { font-size: 13px; position: sticky; top: 0; background: Canvas; padding: .3rem 0; overflow-wrap: anywhere; }
.checks { background: repeating-conic-gradient(#bbb 0% 25%, #fff 0% 50%) 0 0 / 20px 20px; }
.plots { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1rem; margin: 1rem 0; }
.plots svg { max-width: 100%; height: auto; }
.failed { color: light-dark(#b22, #f77); }
"""
_WORD = ' class="word"'


def html_page(title: str, body: Sequence[str]) -> str:
    """The page as text. body: parts that are HTML already."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join([f"<h1>{escape(title)}</h1>", *body])
        + "\n</body></html>\n"
    )


def paragraphs(lines: Sequence[str], *, css: str = "") -> list[str]:
    """A paragraph a line."""
    attribute = f' class="{css}"' if css else ""
    return [f"<p{attribute}>{escape(line)}</p>" for line in lines]


def section(heading: str, *, css: str = "") -> str:
    """A heading of the second level."""
    attribute = f' class="{css}"' if css else ""
    return f"<h2{attribute}>{escape(heading)}</h2>"


def subsection(heading: str) -> str:
    """A heading of the third level."""
    return f"<h3>{escape(heading)}</h3>"


def folded(summary: str, parts: Sequence[str]) -> str:
    """Parts that are out of sight until the reader asks for them."""
    return f"<details><summary>{escape(summary)}</summary>{''.join(parts)}</details>"


def side_by_side(parts: Sequence[str]) -> str:
    """Parts in a row as far as there is room."""
    return f'<div class="plots">{"".join(parts)}</div>'


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 2) -> str:
    """A table that scrolls by itself where it is too wide. words: columns from the left that hold no numbers; headings:
    none, or empty ones, for a table without a head."""
    head = f"<thead><tr>{_cells(headings, words, tag='th')}</tr></thead>" if any(headings) else ""
    body = "".join(f"<tr>{_cells(row, words, tag='td')}</tr>" for row in rows)
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'


def _cells(cells: Sequence[str], words: int, *, tag: str) -> str:
    return "".join(
        f"<{tag}{_WORD if index < words else ''}>{escape(cell)}</{tag}>" for index, cell in enumerate(cells)
    )


def picture_grid(headings: Sequence[str], figures: Sequence[str]) -> list[str]:
    """Figures below headings that stay in sight, a column each."""
    spans = "".join(f"<span>{escape(heading)}</span>" for heading in headings)
    return [
        f'<div class="row heading" style="--columns: {len(headings)}">{spans}</div>',
        f'<div class="pictures" style="--columns: {len(headings)}">',
        *figures,
        "</div>",
    ]


def figure(name: str, note: str, images: Sequence[str]) -> str:
    """One picture's row of a grid. images: each from `image`."""
    return (
        f"<figure><figcaption><b>{escape(name)}</b> {escape(note)}</figcaption>"
        f'<div class="row">{"".join(images)}</div></figure>'
    )


def image(kind: str, data: bytes, alt: str, *, css: str = "") -> str:
    """An encoded picture, inside the page. kind: jpeg, png or webp."""
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img class="{css}" alt="{escape(alt)}" loading="lazy" src="data:image/{kind};base64,{encoded}">'
