"""The repository's own table, as the sample's perf.sh makes it: every precision × batch 1, 4, 8 on this machine.

    python benchmarks/own_table.py --calibration ~/photos --json benchmarks/results/mine.json

Without --calibration the quantized models are made with the demo photos, which is enough to time them. All candidates
are measured in one run, in turn (`u2forge perf`). --docs writes the table into a document, behind the line
`<!-- own table -->`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import u2forge
from machine import commit
from own_models import DEFAULT_WORK, TABLE_MODES, own_models
from u2forge.measure.perf_row import PerfResult
from u2forge.report.perf_markdown import perf_markdown

MARKER = "<!-- own table -->"
END = "<!-- end of own table -->"


def main() -> None:
    options = parse_options()
    models = own_models(options.work, options.calibration, options.precision or TABLE_MODES)
    result = u2forge.perf(
        models,
        batch_size=options.batch_size,
        iterations=options.iterations,
        duration=options.duration,
        on_step=lambda step: print(step, file=sys.stderr),
    )
    table = described(result)
    print(table)
    if options.json:
        record = {"benchmark": "own_table", "commit": commit(), **result.as_dict()}
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    if options.docs:
        options.docs.write_text(with_table(options.docs.read_text(), table))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calibration", type=Path, help="a folder of photos for the quantized models")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="models are kept here")
    parser.add_argument("--precision", nargs="+", choices=TABLE_MODES)
    parser.add_argument("--batch-size", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--duration", type=float, default=5.0, help="seconds of each, at least")
    parser.add_argument("--json", type=Path, help="write the record here")
    parser.add_argument("--docs", type=Path, help="write the table into this document")
    return parser.parse_args()


def described(result: PerfResult) -> str:
    """The table, and what it was measured on."""
    row = result.rows[0]
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    lines = [
        perf_markdown(result.rows),
        "",
        f"{row.device_name}, {row.threads} threads, {result.date[:10]}; {versions}; in turn, at least "
        f"{result.parameters['iterations']} inferences and {result.parameters['duration_s']:g} s each.",
    ]
    lines += [f"- {warning}" for warning in result.warnings]
    lines += [
        f"- {row.precision}, batch {row.batch_size}: {warning}"
        for row in result.rows
        for warning in row.warnings
        # That so few inferences tell no 99th percentile is so for all of them.
        if not warning.startswith("too few samples")
    ]
    return "\n".join(lines)


def with_table(document: str, table: str) -> str:
    """The document with the table between its two marks. Raises SystemExit where they are not there."""
    before, mark, rest = document.partition(MARKER)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f"the document has no lines {MARKER} and {END}")
    return f"{before}{MARKER}\n\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    main()
