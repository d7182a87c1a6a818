"""The GPU benchmark's record → one short table, and the section of docs/gpu.md."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from marked_section import check_marks, replace_section
from native_document import table

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "gpu.md"
SECTION = "gpu"
_LAYERS_SHOWN = 12

Record = Mapping[str, Any]
Rows = Mapping[int, Mapping[str, Any]]


def check_document() -> None:
    """Raises SystemExit where the document or its marks are missing."""
    check_marks(DOCUMENT, SECTION)


def write_document(record: Record, path: Path) -> None:
    """Writes all tables and what they were measured on. path: of the record, for the link."""
    link = f"[record]({Path(os.path.relpath(path.resolve(), DOCUMENT.parent)).as_posix()})"
    parts = [
        network_table(record),
        *_layer_tables(record),
        *_folder_table(record),
        f"{facts(record)} ({link}).",
    ]
    replace_section(DOCUMENT, SECTION, "\n\n".join(parts))


def network_table(record: Record) -> str:
    """A line for each candidate: batch 1, the batches asked for, its best; and why others have no figures."""
    by_candidate: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in record["rows"]:
        by_candidate.setdefault(row["candidate"], {})[row["batch_size"]] = row
    batches = record["batches"]
    headings = (
        "candidate",
        f"batch {batches[0]}, ms",
        *(f"pictures/s, batch {batch}" for batch in batches),
        "best (batch)",
        "of the card's limit",
        "mean difference, worst",
        "W",
        "MHz",
    )
    lines = [_line(name, rows, batches) for name, rows in by_candidate.items()]
    return "\n\n".join([table(headings, lines), *_reasons(record)])


def _line(name: str, rows: Rows, batches: Sequence[int]) -> tuple[str, ...]:
    timed = {batch: row for batch, row in rows.items() if "pictures_per_s" in row}
    best = max(timed.values(), key=lambda row: float(row["pictures_per_s"]), default={})
    wrong = any(row["status"] == "failed" for row in rows.values())
    apart = [row["mean_difference"] for row in rows.values() if "mean_difference" in row]
    first = timed.get(batches[0], {})
    share = best.get("share_of_limit")
    return (
        f"{name}{' **failed**' if wrong else ''}",
        f"{first['latency_ms']:.2f}" if first else "–",
        *(f"{timed[batch]['pictures_per_s']:.1f}" if batch in timed else "–" for batch in batches),
        f"{best['pictures_per_s']:.1f} ({best['batch_size']})" if best else "–",
        "–" if share is None else f"{share:.1%}",
        f"{max(apart):.6f}" if apart else "–",
        *(f"{best[key]:.0f}" if key in best else "–" for key in ("gpu_power_w", "gpu_clock_mhz")),
    )


def _reasons(record: Record) -> Iterator[str]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in record["rows"]:
        if row["status"] != "complete":
            found.setdefault((row["status"], row["candidate"], row["reason"]), []).append(
                str(row["batch_size"])
            )
    if found:
        yield "\n".join(
            f"- {status}: {name}, batch {', '.join(batches)}: {reason}"
            for (status, name, reason), batches in found.items()
        )
    if record.get("control", {}).get("status") == "complete":
        yield "**The control, a network with a fault, passed: this run's check of the maps is blind.**"


def _layer_tables(record: Record) -> Iterator[str]:
    for found in record.get("layers", ()):
        if "longest" not in found:
            continue
        rows = [
            (
                row["name"],
                row["kind"],
                row["channels"],
                row["size"],
                row["kernel"],
                f"{row['ms']:.4f}",
                f"{row['ms'] / found['total_ms']:.1%}",
                "–" if row["share_of_limit"] is None else f"{row['share_of_limit']:.0%}",
            )
            for row in found["longest"][:_LAYERS_SHOWN]
        ]
        title = f"{found['network']}, {found['arithmetic']}, batch {found['batch_size']}: {found['total_ms']:.3f} ms"
        headings = (title, "kind", "channels", "size", "kernel", "ms", "of all", "of the card's limit")
        kinds = ", ".join(f"{row['kind']} {row['of_all']:.1%}" for row in found["by_kind"])
        yield f"{table(headings, rows)}\n\nBy kind: {kinds}."


def _folder_table(record: Record) -> Iterator[str]:
    found = record.get("folder", {})
    if "pictures_per_s" not in found:
        return
    rates = found["pictures_per_s"]
    rows = [(name, f"{rate:.1f}") for name, rate in rates.items()]
    photos = f"{found['pictures']} photos of {found['megapixels_each']} megapixels"
    yield (
        f"{table((photos, 'pictures/s'), rows)}\n\n"
        f"Limited by the {found['limited_by']} ({found['workers']} threads decode and encode): the whole reaches "
        f"{found['whole_of_limit']:.0%} of what its slower part does alone."
    )


def facts(record: Record) -> str:
    """What the figures were measured on."""
    machine = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    device = record["device"]
    limits = record.get("limits", {}).get("tflop_per_s", {})
    rates = ", ".join(f"{name} {rate:g}" for name, rate in limits.items())
    return (
        f"{device['name']}, {machine['processor']}, {machine['date'][:10]}; {versions}; weights: {record['weights']}; "
        f"{record['gflop']:.1f} GFLOP a picture; large matrices in the same run, TFLOP/s: {rates}"
    )
