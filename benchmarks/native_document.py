"""The records of native.py, native_accuracy.py and native_layers.py → their sections of docs/native.md."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from marked_section import check_marks, replace_section
from u2forge.precision import PrecisionMode

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "native.md"
Section = Literal["native", "native layers", "native accuracy"]
SECTIONS: tuple[Section, ...] = get_args(Section)
NATIVE_MODES: tuple[PrecisionMode, ...] = ("force_float32", "force_float16", "qint16_mixed_float32")
OPENVINO = "OpenVINO force_float32"
AVX2_ONLY = ", AVX2 only"
_BATCH = ", batch "


def check_section(name: Section) -> None:
    """Raises SystemExit where the document is there, and lacks the section's marks."""
    if DOCUMENT.exists():
        check_marks(DOCUMENT, name)


def write_section(name: Section, content: str, record: Mapping[str, Any], path: Path) -> None:
    """Writes the content and what it was measured on between the section's marks; the document is made where it is not
    there. path: of the record, for the link. Raises SystemExit where the marks are missing."""
    if not DOCUMENT.exists():
        marks = "\n\n".join(f"<!-- {one} -->\n\n<!-- end of {one} -->" for one in SECTIONS)
        DOCUMENT.write_text(f"# The native engine\n\n{marks}\n", encoding="utf-8")
    link = f"[record]({Path(os.path.relpath(path.resolve(), DOCUMENT.parent)).as_posix()})"
    replace_section(DOCUMENT, name, f"{content}\n\n{_facts(record)} ({link}).")


def _facts(record: Mapping[str, Any]) -> str:
    machine = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    threads = f", {record['threads']} threads" if "threads" in record else ""
    features = ", ".join(machine["processor_features"])
    return f"{machine['processor']} ({features}){threads}, {machine['date'][:10]}; {versions}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)])


def native_tables(record: Mapping[str, Any]) -> str:
    """Threads and batches, AVX2, memory, start; and why a candidate has no figures."""
    rows = {row["candidate"]: row for row in record["network"] if row["status"] == "complete"}
    parts = [_speed(record, rows), _avx2(record, rows)]
    parts += [_memory(record), _start(record)] if "opened" in record else []
    failed = [
        f"- {row['candidate']}: {row['reason']}" for row in record["network"] if row["status"] == "failed"
    ]
    parts += ["\n".join(["Without figures:", "", *failed])] if failed else []
    return "\n\n".join(parts)


def _speed(record: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> str:
    ratios = record["ratios"]
    found = []
    for mode in NATIVE_MODES:
        batch = next((row for name, row in rows.items() if name.startswith(f"{mode}{_BATCH}")), None)
        found.append(
            (
                mode,
                rows[mode]["executed"] if mode in rows else "–",
                _ms(rows.get(mode)),
                _ratio(ratios["best"].get(mode)),
                _ms(rows.get(f"{mode}, one thread")),
                _ratio(ratios["two_threads"].get(mode)),
                "–" if batch is None else f"{batch['ms'] / batch['batch_size']:.1f}",
                _ratio(ratios["batch"].get(mode)),
            )
        )
    found.append((OPENVINO, "float32", _ms(rows.get(OPENVINO)), "1.00×", *["–"] * 4))
    return table(
        (
            "network",
            "ran in",
            "ms",
            "by OpenVINO's",
            "one thread, ms",
            f"{record['threads']} threads are as fast",
            "ms a picture, batch 4",
            "by batch 1's",
        ),
        found,
    )


def _avx2(record: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> str:
    found = [
        (name.removesuffix(AVX2_ONLY), row["executed"], _ms(row), _ratio(record["ratios"]["avx2"].get(mode)))
        for name, row in rows.items()
        if name.endswith(AVX2_ONLY)
        for mode in [name.removesuffix(AVX2_ONLY)]
    ]
    text = table(("held to AVX2", "ran in", "ms", "by OpenVINO's"), found)
    kernels = record.get("openvino_kernels_avx2")
    if kernels is None:
        return text
    wide = {name: ms for name, ms in kernels.items() if "avx512" in name}
    share = sum(wide.values()) / sum(kernels.values())
    names = ", ".join(f"`{name}`" for name in wide)
    left = (
        f"Held so, it still runs {names}: {share:.1%} of its layers' time."
        if wide
        else "None of the kernels that its profiler then names is for AVX-512."
    )
    return f"{text}\n\nOpenVINO is held by `ONEDNN_MAX_CPU_ISA=AVX2`. {left}"


def _memory(record: Mapping[str, Any]) -> str:
    found = [
        (
            row["candidate"],
            row["executed"],
            f"{row['resident_mb']:.0f}",
            f"{row['from_files_mb']:.0f}",
            f"{row['peak_mb']:.0f}",
            row["opening"],
        )
        for row in record["opened"]
    ]
    headings = ("memory, batch 1", "ran in", "resident, MB", "of it mapped files", "at most", "opening")
    return table(headings, found)


def _start(record: Mapping[str, Any]) -> str:
    names = list(dict.fromkeys(name for row in record["opened"] for name in row["steps_ms"]))
    headings = ("start", "opening", "ms until it is open", *names)
    found = [
        (
            row["candidate"],
            row["opening"],
            f"{row['opened_ms']:.0f}",
            *(f"{row['steps_ms'].get(name, 0):.0f}" for name in names),
        )
        for row in record["opened"]
    ]
    return table(headings, found)


def _ms(row: Mapping[str, Any] | None) -> str:
    return "–" if row is None else f"{row['ms']:.1f}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}×"
