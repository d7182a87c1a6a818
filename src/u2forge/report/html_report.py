"""The one-click job's page: the table, and photo, mask and cut-out of each picture side by side; one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from u2forge.report.html_page import figure, html_page, image, paragraphs, picture_grid, section, table


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
        *paragraphs(lines),
        table(headings, rows),
        section(f"Pictures ({len(pictures)})"),
        *picture_grid(["photo", "mask", "cut-out"], [*map(_figure, pictures)]),
    ]
    if failures:
        body.append(section(f"Failed ({len(failures)})", css="failed"))
        body += paragraphs(failures, css="failed")
    return html_page(title, body)


def _figure(picture: ReportPicture) -> str:
    name = picture.name
    images = [
        image("jpeg", picture.photo_jpeg, f"photo {name}"),
        image("png", picture.mask_png, f"mask of {name}"),
        image("webp", picture.cutout_webp, f"cut-out of {name}", css="checks"),
    ]
    return figure(name, picture.note, images)
