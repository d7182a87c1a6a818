"""The accuracy twin of own_table.py, as the sample's eval.sh makes it: every precision on a data set with ground truth.

    python benchmarks/own_accuracy.py DATASET --calibration ~/photos

DATASET: a folder that `u2forge eval` knows. 16-bit models are evaluated in ONNX Runtime, as OpenVINO leaves their
rounding out; the others in the default engine. Whatever --precision asks for, force_float32 is there too: the others'
maps are compared with its own in the same engine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import u2forge
from own_models import DEFAULT_WORK, TABLE_MODES, own_models
from u2forge.evaluate.eval_row import EvalRow
from u2forge.precision import PrecisionMode

REFERENCE: PrecisionMode = "force_float32"
HEADINGS = ("precision", "engine", "ran in", "pictures", "MAE", "max F", "mean map difference", "worst IoU")


def main() -> None:
    options = parse_options()
    asked = options.precision or TABLE_MODES
    # What the others are compared with.
    modes = (REFERENCE, *(mode for mode in asked if mode != REFERENCE))
    models = own_models(options.work, options.calibration, modes)
    wide = [path for path in models if "qint16" in path.name]
    rows: list[EvalRow] = []
    for group, engine in (([path for path in models if path not in wide], "auto"), (wide, "onnxruntime")):
        if group:
            reference = models[:1] if models[0] not in group else []
            result = u2forge.eval(
                [*reference, *group],
                dataset=options.dataset,
                engine=engine,
                limit=options.limit,
                on_start=lambda count: print(f"{count} pictures", file=sys.stderr),
            )
            rows += result.rows[len(reference) :]
    print(table(rows))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--calibration", type=Path, help="a folder of photos for the quantized models")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="models are kept here")
    parser.add_argument("--precision", nargs="+", choices=TABLE_MODES)
    parser.add_argument("--limit", type=int, help="at most so many pictures, evenly spread")
    return parser.parse_args()


def table(rows: Sequence[EvalRow]) -> str:
    """In Markdown."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    return "\n".join(lines)


def cells(row: EvalRow) -> Iterator[str]:
    yield from (row.precision, row.engine, row.executed, str(row.images))
    yield f"{row.metrics['mae']:.5f}"
    yield f"{row.metrics['max_f']:.4f}"
    differences = row.differences
    yield "reference" if differences is None else f"{differences.mean_difference:.5f}"
    yield "" if differences is None else f"{differences.worst_iou:.3f}"


if __name__ == "__main__":
    main()
