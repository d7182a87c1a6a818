"""The record of `peers.py` → its tables in Markdown and its bar chart, in docs/benchmarks.md.

python benchmarks/peers_document.py benchmarks/results/RECORD.json
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marked_section import replace_section
from u2forge.measure.stability import MOST_DRIFT, MOST_VARIATION
from u2forge.report.svg_bars import Bar, bar_chart

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
CHART = ROOT / "docs" / "benchmarks-peers.svg"
SECTION = "peers"


def main() -> None:
    path = Path(sys.argv[1])
    write_document(json.loads(path.read_text()), path)


def write_document(record: Mapping[str, Any], path: Path) -> None:
    """Writes tables and chart. path: of the record, for the link. Raises SystemExit where the marks are not there."""
    link = f"[record]({Path(os.path.relpath(path.resolve(), DOCUMENT.parent)).as_posix()})"
    picture = f"![Speed against ONNX Runtime]({CHART.name})"
    content = "\n\n".join((picture, tables(record), f"{facts(record)} ({link})."))
    replace_section(DOCUMENT, SECTION, content)
    CHART.write_text(chart(record) + "\n")


def tables(record: Mapping[str, Any]) -> str:
    """Both tables, the fastest first."""
    network = [
        "| engine | ran in | ms | 10–90 % | against ONNX Runtime | mean difference | worst |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {_name(row)} | {row['executed']} | {row['ms']:.0f} | {row['p10_ms']:.0f}–{row['p90_ms']:.0f} "
            f"| {_speed(row)} | {row['mean_difference']:.5f} | {row['worst_difference']:.4f} |"
            for row in _fastest_first(record["network"])
        ),
    ]
    pictures = [
        "| whole pictures | ran in | ms a picture | pictures a second | against rembg | mean difference |",
        "|---|---|---|---|---|---|",
        *(
            f"| {_name(row)} | {row['executed']} | {row['ms']:.0f} | {1000 / row['ms']:.2f} | {_speed(row)} "
            f"| {row['mean_difference']:.5f} |"
            for row in _fastest_first(record["pictures"])
        ),
    ]
    failed = [
        f"- {row['candidate']}{_asked(row)}: {row['reason']}"
        for row in (*record["network"], *record["pictures"])
        if row["status"] == "failed"
    ]
    unstable = [
        f"- {row['candidate']}, {row['executed']}: {found}"
        for row in record["network"]
        if (found := _instability(row))
    ]
    parts = [network, pictures]
    parts += [["Without figures:", "", *failed]] if failed else []
    parts += [["Not stable:", "", *unstable]] if unstable else []
    return "\n\n".join("\n".join(part) for part in parts)


def _instability(row: Mapping[str, Any]) -> str:
    """What a stable run would not show; nothing for a row that was stable."""
    found = []
    if row.get("variation", 0) > MOST_VARIATION:
        found.append(f"the latency varied by {row['variation']:.0%} (standard deviation / mean)")
    drift = row.get("drift") or 0
    if abs(drift) > MOST_DRIFT:
        found.append(
            f"the last turns were {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} than the first"
        )
    return "; ".join(found)


def facts(record: Mapping[str, Any]) -> str:
    """What it was measured on and with."""
    machine = record["machine"]
    features = ", ".join(machine["processor_features"])
    return (
        f"{machine['processor']} ({features}), {record['threads']} threads, {machine['date'][:10]}, "
        f"at least {record['iterations_each']} inferences and {record['seconds_each']:g} s each; "
        f"{record['photo_count']} {'demo ' if record['photos'] == 'demo' else ''}photos; quantized models calibrated "
        f"with {'the demo' if record['calibration'] == 'demo' else 'other'} photos; "
        f"{', '.join(_versions(record))}"
    )


def chart(record: Mapping[str, Any]) -> str:
    """The network's speeds as an SVG file."""
    bars = [
        Bar(
            label=f"{row['candidate']}, {row['executed']}",
            value=round(row["speed"], 2),
            group="u2forge" if _is_ours(row) else "others",
            note=f"{row['ms']:.0f} ms",
        )
        for row in _fastest_first(record["network"])
        if "speed" in row
    ]
    title = f"Full U²-Net, 320 × 320, batch 1, {record['threads']} threads"
    return bar_chart(bars, title=title, x_label="speed against ONNX Runtime float32 in the same run")


def _fastest_first(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    complete = [row for row in rows if row["status"] == "complete"]
    return sorted(complete, key=lambda row: float(row["ms"]))


def _name(row: Mapping[str, Any]) -> str:
    return f"**{row['candidate']}**" if _is_ours(row) else str(row["candidate"])


def _asked(row: Mapping[str, Any]) -> str:
    """What a row without figures was to run in."""
    asked = [name if value is True else value for name, value in row["options"].items() if value]
    return f" ({', '.join(asked)})" if asked else ""


def _is_ours(row: Mapping[str, Any]) -> bool:
    return str(row["candidate"]).startswith("u2forge")


def _speed(row: Mapping[str, Any]) -> str:
    return f"{row['speed']:.2f}×" if "speed" in row else "–"


def _versions(record: Mapping[str, Any]) -> list[str]:
    """Each engine's version, once."""
    rows = [*record["network"], *record["pictures"]]
    found = {f"{row['engine']} {row['engine_version']}": None for row in rows if row["status"] == "complete"}
    return list(found)


if __name__ == "__main__":
    main()
