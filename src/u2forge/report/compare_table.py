"""A comparison of two records of perf as text: what was compared, the table of verdicts, what they mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from textwrap import fill

from u2forge.measure.comparison import ComparedRow, Comparison
from u2forge.report.run_table import text_table

COMPARE_HEADINGS = ("row", "old ms", "new ms", "change %", "from %", "to %", "verdict")
_TEXT_WIDTH = 120
_COLUMNS_NOTE = (
    "ms: the median latency of an inference in the scenario latency, the time per picture in others. change: of this "
    "time; from, to: where it lies at about 95 %, by how the turns of both runs spread. What differs from one run to "
    "the next is not in it."
)
# Beyond ten times the old figure, digits say nothing.
_MOST_PERCENT = 999.9


def compare_text(comparison: Comparison) -> str:
    """All of it, ready to print."""
    table = text_table(COMPARE_HEADINGS, [_cells(row) for row in comparison.rows])
    parts = [*_head(comparison), "", table, "", fill(_COLUMNS_NOTE, _TEXT_WIDTH, subsequent_indent="  ")]
    notes = [line for row in comparison.rows for line in _notes(row)]
    if notes:
        parts += ["", *notes]
    return "\n".join([*parts, "", _summary(comparison)])


def _head(comparison: Comparison) -> Iterator[str]:
    for name, record in (("old", comparison.old), ("new", comparison.new)):
        yield f"{name}: {record.path}, {record.date}"
        yield from (f"     {warning}" for warning in record.warnings)
    yield f"{comparison.new.machine}; {', '.join(_versions(comparison))}"


def _versions(comparison: Comparison) -> Iterator[str]:
    for name, (old, new) in comparison.versions.items():
        yield f"{name} {new or 'not there'}" + ("" if old == new else f" (old: {old or 'not there'})")


def _cells(row: ComparedRow) -> list[str]:
    """The row as text, in the order of COMPARE_HEADINGS."""
    band = (None, None) if row.band is None else (row.band.low, row.band.high)
    return [
        row.label,
        *("" if time is None else f"{time:.3f}" for time in (row.old_ms, row.new_ms)),
        *map(_percent, (row.change, *band)),
        f"{row.verdict}, fails" if row.fails else row.verdict,
    ]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{min(100 * share, _MOST_PERCENT):+.1f}"


def _notes(row: ComparedRow) -> Iterator[str]:
    if row.notes:
        yield f"{row.label}:"
        yield from (f"  {note}" for note in row.notes)


def _summary(comparison: Comparison) -> str:
    counts = Counter(row.verdict for row in comparison.rows)
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    limit = f"most loss {100 * comparison.max_loss:g}%"
    failed = len(comparison.failed)
    gate = f"{failed} of {len(comparison.rows)} rows fail" if failed else "no row fails"
    uncertain = sum(row.verdict == "uncertain" and not row.fails for row in comparison.rows)
    doubt = f", {uncertain} passed though uncertain: measure longer" if uncertain else ""
    return f"{verdicts}; {limit}: {gate}{doubt}"
