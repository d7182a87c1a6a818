"""What quantization costs, layer by layer: a table for the terminal, and a page with a plot."""

from __future__ import annotations

from dataclasses import dataclass

from u2forge.model_file.quantization_record import AccuracyRecord
from u2forge.report.run_table import text_table

LAYER_HEADINGS = ["layer", "work", "weights dB", "input dB", "border", "gain in float", "runs in"]


@dataclass(frozen=True)
class LayerRow:
    """One layer. work: its share of the multiply-accumulates; weight_snr_db, input_snr_db: signal to
    quantization noise; gain: by how much the mean map difference falls when this layer alone stays in float."""

    name: str
    work: float
    weight_snr_db: float
    input_snr_db: float
    border_error: float
    gain: float | None
    kept_in_float: bool

    def cells(self) -> list[str]:
        """The row as text, in the order of LAYER_HEADINGS."""
        return [
            self.name,
            f"{100 * self.work:.2f} %",
            f"{self.weight_snr_db:.1f}",
            f"{self.input_snr_db:.1f}",
            f"{self.border_error:.3f}",
            "" if self.gain is None else f"{self.gain:+.6f}",
            "float" if self.kept_in_float else "integers",
        ]


@dataclass(frozen=True)
class QuantizationReport:
    """rows: in graph order; curve: (layers left in float, mean map difference), the costliest layers first;
    accuracy: of the model that was built, None where there was no gate."""

    rows: tuple[LayerRow, ...]
    curve: tuple[tuple[int, float], ...]
    accuracy: AccuracyRecord | None

    def ranked(self) -> list[LayerRow]:
        """The rows, the costliest layer first."""
        return sorted(self.rows, key=lambda row: -(float("inf") if row.gain is None else row.gain))

    def __str__(self) -> str:
        table = text_table(LAYER_HEADINGS, [row.cells() for row in self.ranked()])
        points = ", ".join(f"{count}: {loss:.5f}" for count, loss in self.curve)
        return f"{table}\n\nmean map difference by layers left in float: {points}"
