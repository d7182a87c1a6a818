"""The table of the one-click job: one row per model, what was asked for, what ran, how fast, how faithful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from u2forge.pipeline.picture_report import STAGES


@dataclass(frozen=True)
class RunRow:
    """One model's row. stage_ms: mean milliseconds a picture by stage; mean_difference, worst_difference and
    worst_iou: of its stretched maps against those of the first row (fp32), None for the first row itself."""

    model: str
    precision_asked: str
    precision_executed: str
    engine: str
    device: str
    size_bytes: int
    pictures: int
    stage_ms: Mapping[str, float]
    mean_difference: float | None
    worst_difference: float | None
    worst_iou: float | None

    def as_dict(self) -> dict[str, object]:
        """The row as plain values, for JSON."""
        return {**asdict(self), "stage_ms": dict(self.stage_ms)}

    def cells(self) -> list[str]:
        """The row as text, in the order of HEADINGS."""
        stages = [f"{self.stage_ms.get(stage, 0.0):.1f}" for stage in STAGES]
        if self.mean_difference is None or self.worst_difference is None or self.worst_iou is None:
            agreement = ["reference", "", ""]
        else:
            agreement = [
                f"{self.mean_difference:.5f}",
                f"{self.worst_difference:.5f}",
                f"{self.worst_iou:.3f}",
            ]
        return [
            self.precision_asked,
            self.precision_executed,
            f"{self.size_bytes / 1e6:.1f}",
            *stages,
            f"{sum(self.stage_ms.values()):.1f}",
            *agreement,
        ]


HEADINGS = [
    "asked",
    "executed",
    "MB",
    *STAGES,
    "sum ms",
    "mean diff",
    "worst",
    "worst IoU",
]


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Headings and rows in columns as wide as their widest cell; text to the left, numbers to the right."""
    columns = list(zip(headings, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(_is_number(cell) for cell in column[1:]) for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(headings), line(["-" * width for width in widths]), *map(line, rows)])


def _is_number(cell: str) -> bool:
    return cell in ("", "reference") or cell.lstrip("+-").replace(".", "", 1).isdigit()
