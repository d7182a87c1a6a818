"""EvalResult: all that an evaluation found, as JSON and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from u2forge.evaluate.check_pairs import described_problems
from u2forge.evaluate.datasets import PairProblem
from u2forge.evaluate.eval_row import EvalRow
from u2forge.report.eval_table import (
    DIFFERENCE_HEADINGS,
    FIGURE_HEADINGS,
    difference_cells,
    figure_cells,
    has_differences,
    notes,
)
from u2forge.report.run_table import text_table

_SCHEMA_VERSION = 1
_TEXT_WIDTH = 110


@dataclass(frozen=True)
class EvalResult:
    """rows: by protocol, then by model; the first model is the reference. found: pairs and single files of the data
    set; chosen: sound pairs taken (all, or as many as limit); images: those that were evaluated; problems: what was
    left out. out: the folder of results, None where none was asked for."""

    dataset: str
    folder: Path
    layout: str
    pairs_digest: str
    found: int
    chosen: int
    limit: int | None
    images: int
    rows: tuple[EvalRow, ...]
    problems: tuple[PairProblem, ...]
    machine: Mapping[str, object]
    versions: Mapping[str, str]
    date: str
    out: Path | None

    def as_dict(self) -> dict[str, object]:
        """The result as plain values, for JSON."""
        return {
            "u2forge_eval": _SCHEMA_VERSION,
            "date": self.date,
            "dataset": {
                "name": self.dataset,
                "folder": str(self.folder),
                "layout": self.layout,
                "digest": self.pairs_digest,
                "found": self.found,
                "limit": self.limit,
                "chosen": self.chosen,
                "images": self.images,
            },
            "rows": [row.as_dict() for row in self.rows],
            "broken": [problem.as_dict() for problem in self.problems],
            "notes": notes(self.rows),
            "machine": dict(self.machine),
            "versions": dict(self.versions),
        }

    def lines(self) -> list[str]:
        """What was evaluated, on what: sentences for the head of a table or page."""
        first = self.rows[0]
        return [
            f"{self.dataset}: {self.images} pictures, {self._choice()}; layout {self.layout}.",
            f"{first.engine} {first.engine_version} on {first.device} ({first.device_name}), threads {first.threads}; "
            f"u2forge {self.versions['u2forge']}; {self.date}.",
        ]

    def _choice(self) -> str:
        left_out = f", {len(self.problems)} left out" if self.problems else ""
        if self.limit is not None and self.chosen < self.found:
            return f"evenly spread over {self.found} found (--limit {self.limit}){left_out}"
        return f"of {self.found} found{left_out}"

    def __str__(self) -> str:
        parts = [*self.lines(), "", text_table(FIGURE_HEADINGS, [figure_cells(row) for row in self.rows])]
        if has_differences(self.rows):
            parts += ["", text_table(DIFFERENCE_HEADINGS, [difference_cells(row) for row in self.rows])]
        parts += ["", *(fill(note, _TEXT_WIDTH, subsequent_indent="  ") for note in notes(self.rows))]
        if self.problems:
            parts += [
                "",
                f"left out ({len(self.problems)}):",
                *(f"  {line}" for line in described_problems(self.problems)),
            ]
        if self.out is not None:
            parts += ["", f"results in {self.out}; look at {self.out / 'report.html'}"]
        return "\n".join(parts)
