"""The repository's own table, as the sample's perf.sh makes it: every precision × batch 1, 4, 8 on this machine.

    python benchmarks/own_table.py --calibration ~/photos --json benchmarks/results/mine.json

Without --calibration the quantized models are made with the demo photos, which is enough to time them. All candidates
are measured in one run, in turn (`u2forge perf`). --docs writes the table into a document, between `<!-- own table -->`
and `<!-- end of own table -->`. Interrupted, it prints and records what it has, and leaves the document alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import u2forge
from machine import commit
from marked_section import check_marks, replace_section
from own_models import DEFAULT_WORK, TABLE_MODES, own_models
from u2forge.measure.perf_row import PerfResult
from u2forge.report.perf_markdown import perf_markdown
from write_record import check_place, write_record

SECTION = "own table"
# p10 for the span.
PERCENTILES = (10.0, 50.0, 90.0, 95.0, 99.0)


def main() -> None:
    options = parse_options()
    check_place(options.json)
    if options.docs:
        check_marks(options.docs, SECTION)
    models = own_models(options.work, options.calibration, options.precision or TABLE_MODES)

    def keep(result: PerfResult) -> None:
        """Of a run that was interrupted too."""
        write_record(options.json, {"benchmark": "own_table", "commit": commit(), **result.as_dict()})
        print(described(result))

    result = u2forge.perf(
        models,
        batch_size=options.batch_size,
        iterations=options.iterations,
        duration=options.duration,
        percentiles=PERCENTILES,
        on_step=lambda step: print(step, file=sys.stderr),
        on_result=keep,
    )
    if options.docs:
        replace_section(options.docs, SECTION, described(result))


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
    """The table, what it was measured on, and why rows have no figures or are to be doubted."""
    # What failed before it was opened knows no device.
    row = next((row for row in result.rows if row.device_name), result.rows[0])
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
        # The table leaves those percentiles out.
        if not warning.startswith("too few samples")
    ]
    lines += [f"- {row.precision}, batch {row.batch_size}: {row.reason}" for row in result.rows if row.reason]
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # what there is has been told
        sys.exit(130)
