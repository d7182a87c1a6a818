"""Does the same `u2forge perf` command give the same again? Medians of several runs, and the largest difference.

    python benchmarks/repeat.py force_float32.onnx force_float16.onnx --json benchmarks/results/mine.json

MODEL: files that `u2forge build` wrote, or cards' names. Asked of perf is that the same command twice on an idle
machine gives medians within 5 %, or says that it could not: for each row any two runs are compared, all of them, and
those that did not warn (of scatter, drift or other programs). Exit code 1 where two without a warning lie further
apart. The record is written after each run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machine import commit
from write_record import check_place, write_record

MOST_DIFFERENCE = 0.05
# Of how much was asked for, not of how far the medians can be trusted.
_NOT_DOUBTS = ("too few samples", "not profiled")
# perf's code where some candidates failed; its JSON is there.
_SOME_FAILED = 1


def main() -> None:
    options = parse_options()
    check_place(options.json)
    command = perf_command(options)
    print(" ".join(command), file=sys.stderr)
    runs: list[Mapping[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for number in range(1, options.runs + 1):
        runs.append(perf_result(command))
        print(f"run {number} of {options.runs}", file=sys.stderr)
        rows = compared(runs)
        record = {"benchmark": "repeat", "commit": commit(), "command": command[1:], "rows": rows}
        record |= {name: runs[0][name] for name in ("date", "parameters", "machine", "versions")}
        write_record(options.json, record)
    print(table(rows))
    raise SystemExit(0 if all(row["kept"] for row in rows) else 1)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch-size", help="as perf takes it; so the two below")
    parser.add_argument("--iterations")
    parser.add_argument("--duration")
    parser.add_argument("--json", type=Path, help="write the record here")
    options = parser.parse_args()
    if options.runs < 2:
        parser.error("--runs: at least 2")
    return options


def perf_command(options: argparse.Namespace) -> list[str]:
    """What a user would type, with JSON on standard output."""
    command = [str(Path(sys.executable).with_name("u2forge")), "perf", *options.models]
    for name in ("batch_size", "iterations", "duration"):
        value = getattr(options, name)
        command += [] if value is None else [f"--{name.replace('_', '-')}", value]
    return [*command, "--json"]


def perf_result(command: Sequence[str]) -> dict[str, Any]:
    """The command's JSON. Raises SystemExit with its own words where there is none."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, _SOME_FAILED) or not done.stdout.strip():
        raise SystemExit(f"u2forge perf ended with code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def compared(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each row of perf over all runs. kept: whether it keeps what is asked of perf."""
    return [_compared(rows) for rows in zip(*(_rows(run) for run in runs), strict=True)]


def _rows(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of one run; the machine's warnings are each row's."""
    return [{**row, "warnings": [*row["warnings"], *run["warnings"]]} for row in run["rows"]]


def _compared(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    warnings = [
        [one for one in row["warnings"] if not one.startswith(_NOT_DOUBTS)]
        if row["status"] == "complete"
        else [f"{row['status']}: {row['reason']}"]
        for row in rows
    ]
    medians = [None if row["latency"] is None else row["latency"]["median"] for row in rows]
    told = [one for one in medians if one is not None]
    calm = [one for one, doubts in zip(medians, warnings, strict=True) if one is not None and not doubts]
    return {
        "label": rows[0]["label"],
        "executed": rows[0]["executed"],
        "medians_ms": [None if one is None else round(one, 4) for one in medians],
        "median_ms": round(statistics.median(told), 4) if told else None,
        "largest_difference": _largest_difference(told),
        "largest_difference_without_warning": _largest_difference(calm),
        "warned": sum(map(bool, warnings)),
        "warnings": warnings,
        "kept": (_largest_difference(calm) or 0) <= MOST_DIFFERENCE,
    }


def _largest_difference(medians: Sequence[float]) -> float | None:
    """The slowest by the fastest, less 1; None for fewer than two."""
    return round(max(medians) / min(medians) - 1, 5) if len(medians) > 1 else None


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """In Markdown."""
    lines = [
        "| row | ran in | medians, ms | largest difference | runs that warned | of those that did not | within 5 % |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        medians = ", ".join("–" if one is None else f"{one:.4g}" for one in row["medians_ms"])
        calm = row["largest_difference_without_warning"]
        verdict = "no" if not row["kept"] else "yes" if is_within(row) else "said that it could not"
        cells = [row["label"], row["executed"], medians, _percent(row["largest_difference"])]
        cells += [f"{row['warned']} of {len(row['medians_ms'])}", _percent(calm), verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def is_within(row: Mapping[str, Any]) -> bool:
    """Whether any two of its runs are as near as asked, or any two of those that did not warn."""
    both = (row["largest_difference"], row["largest_difference_without_warning"])
    return any(one is not None and one <= MOST_DIFFERENCE for one in both)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


if __name__ == "__main__":
    main()
