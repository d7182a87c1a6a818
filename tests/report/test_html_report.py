"""The report page: self-contained, escaped, complete."""

import re

from u2forge.report.html_report import ReportPicture, html_report


def page(**changes: object) -> str:
    picture = ReportPicture("a <b>.jpg", "10 x 20", b"JPEG", b"PNG", b"WEBP")
    arguments: dict[str, object] = {
        "title": "u2forge run",
        "lines": ["on a <machine>"],
        "headings": ["model", "ms"],
        "rows": [["u2net", "1.0"]],
        "pictures": [picture],
        "failures": [],
    }
    return html_report(**(arguments | changes))  # type: ignore[arg-type]


def test_every_picture_is_inside_the_file() -> None:
    sources = re.findall(r'src="([^"]*)"', page())
    assert [source.split(";")[0] for source in sources] == [
        "data:image/jpeg",
        "data:image/png",
        "data:image/webp",
    ]
    assert "http" not in page()
    assert "<script" not in page()


def test_names_are_escaped() -> None:
    text = page()
    assert "<b>.jpg" not in text
    assert "a &lt;b&gt;.jpg" in text
    assert "on a &lt;machine&gt;" in text


def test_failures_are_listed_only_where_there_are_any() -> None:
    assert "Failed (" not in page()
    assert "Failed (1)" in page(failures=["bad.jpg: truncated"])
    assert "bad.jpg: truncated" in page(failures=["bad.jpg: truncated"])
