"""ComparedRow and Comparison: what two records of perf say beside each other, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from u2forge.measure.noise_band import Band
from u2forge.measure.perf_record import PerfRecord

Verdict = Literal["faster", "same", "slower", "uncertain", "missing", "new"]
# Raised when the JSON changes in a way that an older reader would misread.
_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ComparedRow:
    """One row's verdict. old_ms, new_ms: the median latency in the scenario `latency`, the time per picture in others;
    None where that record has no complete row. change: of this time, new / old - 1; band: where it lies at about 95 %,
    None where that is not known. notes: what a reader has to know."""

    label: str
    verdict: Verdict
    fails: bool
    old_ms: float | None = None
    new_ms: float | None = None
    change: float | None = None
    band: Band | None = None
    notes: tuple[str, ...] = ()

    def described(self) -> str:
        """What happened to the row, in a few words."""
        return f"{self.label}: {'; '.join((self._what(), *self.notes))}"

    def _what(self) -> str:
        if self.change is None:
            return self.verdict
        band = "" if self.band is None else f" ({self.band.low:+.1%} to {self.band.high:+.1%})"
        return f"{abs(self.change):.1%} {'faster' if self.change < 0 else 'slower'}{band}"


@dataclass(frozen=True)
class Comparison:
    """All verdicts: the rows of `old` in their order, then what `new` has besides. max_loss: the gate."""

    old: PerfRecord
    new: PerfRecord
    max_loss: float
    rows: tuple[ComparedRow, ...]

    @property
    def failed(self) -> list[ComparedRow]:
        """The rows that the gate does not let pass."""
        return [row for row in self.rows if row.fails]

    @property
    def versions(self) -> Mapping[str, tuple[str | None, str | None]]:
        """Of each package, (old, new); None where that record does not tell."""
        names = dict.fromkeys((*self.old.versions, *self.new.versions))
        return {name: (self.old.versions.get(name), self.new.versions.get(name)) for name in names}

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "u2forge_perf_compare": _SCHEMA_VERSION,
            "passes": not self.failed,
            "max_loss": self.max_loss,
            "old": _source(self.old),
            "new": _source(self.new),
            "machine": asdict(self.new.machine),
            "versions": {name: list(pair) for name, pair in self.versions.items()},
            "rows": [{**asdict(row), "notes": list(row.notes)} for row in self.rows],
        }


def _source(record: PerfRecord) -> dict[str, object]:
    return {"file": str(record.path), "date": record.date, "warnings": list(record.warnings)}
