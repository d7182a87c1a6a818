"""The one-click job's page: the table, and photo, mask and cut-out of each picture side by side; one HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: right; }
th { text-align: left; } td:nth-child(-n+2) { text-align: left; }
.pictures { display: grid; gap: 1.5rem; }
figure { margin: 0; } figcaption { font-size: 13px; margin-bottom: .3rem; overflow-wrap: anywhere; }
.row { display: grid; grid-template-columns: repeat(3, 1fr); gap: .5rem; }
.row img { width: 100%; height: auto; border: 1px solid var(--line); border-radius: 4px; }
.heading { font-size: 13px; position: sticky; top: 0; background: Canvas; padding: .3rem 0; }
.checks { background: repeating-conic-gradient(#bbb 0% 25%, #fff 0% 50%) 0 0 / 20px 20px; }
.failed { color: #c33; }
"""


@dataclass(frozen=True)
class ReportPicture:
    """One picture's row of the page. photo_jpeg, mask_png, cutout_webp: encoded thumbnails."""

    name: str
    note: str
    photo_jpeg: bytes
    mask_png: bytes
    cutout_webp: bytes


def html_report(
    *,
    title: str,
    lines: Sequence[str],
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    pictures: Sequence[ReportPicture],
    failures: Sequence[str],
) -> str:
    """The page as text: no script, nothing loaded from anywhere, every word escaped."""
    body = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(line)}</p>" for line in lines),
        _table(headings, rows),
        f"<h2>Pictures ({len(pictures)})</h2>",
        '<div class="row heading"><span>photo</span><span>mask</span><span>cut-out</span></div>',
        '<div class="pictures">',
        *map(_figure, pictures),
        "</div>",
    ]
    if failures:
        body.append(f'<h2 class="failed">Failed ({len(failures)})</h2>')
        body += [f'<p class="failed">{escape(failure)}</p>' for failure in failures]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(picture: ReportPicture) -> str:
    name = escape(picture.name)
    return (
        f"<figure><figcaption><b>{name}</b> {escape(picture.note)}</figcaption>"
        f'<div class="row">{_image("jpeg", picture.photo_jpeg, f"photo {name}")}'
        f"{_image('png', picture.mask_png, f'mask of {name}')}"
        f"{_image('webp', picture.cutout_webp, f'cut-out of {name}', css='checks')}</div></figure>"
    )


def _image(kind: str, data: bytes, alt: str, *, css: str = "") -> str:
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img class="{css}" alt="{alt}" loading="lazy" src="data:image/{kind};base64,{encoded}">'
