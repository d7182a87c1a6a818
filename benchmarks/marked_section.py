"""The part of a document between two marks, which a benchmark writes: checked before it measures, replaced after."""

from __future__ import annotations

from pathlib import Path


def check_marks(document: Path, name: str) -> None:
    """Raises SystemExit where the document is not there, or lacks the marks of that name."""
    if not document.is_file():
        raise SystemExit(f"no document {document}")
    _parts(document, name)


def replace_section(document: Path, name: str, content: str) -> None:
    """Writes the content between `<!-- NAME -->` and `<!-- end of NAME -->`. Raises SystemExit without these."""
    before, after = _parts(document, name)
    begin, end = _marks(name)
    document.write_text(f"{before}{begin}\n\n{content}\n\n{end}{after}", encoding="utf-8")


def _parts(document: Path, name: str) -> tuple[str, str]:
    """What stands before the first mark, and behind the second."""
    begin, end = _marks(name)
    before, found, rest = document.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise SystemExit(f"{document} has no lines {begin} and {end}")
    return before, after


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- end of {name} -->"
