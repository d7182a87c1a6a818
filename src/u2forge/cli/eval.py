"""u2forge eval: arguments, progress and printing."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from u2forge.cli.shared_arguments import add_engine_arguments, add_existing_arguments
from u2forge.evaluate.check_pairs import described_problems
from u2forge.evaluate.protocols import PROTOCOLS
from u2forge.pipeline.read_picture import DEFAULT_MAX_PIXELS
from u2forge.precision import PRECISION_MODES
from u2forge.profiles import PRE_PROFILES
from u2forge.report.eval_result import EvalResult
from u2forge.verbs.eval import eval


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `eval` takes."""
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="model files or cards' names; the first is what the others are compared with",
    )
    parser.add_argument(
        "--dataset", required=True, type=Path, metavar="DIR", help="a folder of photos and their masks"
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        action="append",
        default=[],
        help="how to measure (may be repeated; paper where not said)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISION_MODES,
        help="precision mode to build cards' models for (force_float32 where not said)",
    )
    parser.add_argument(
        "--pre", choices=PRE_PROFILES, help="preprocessing profile (the model's own where not said)"
    )
    add_engine_arguments(parser, help="what runs the models")
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="pictures per inference (the model's own)"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="threads that decode and score (one a processor)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most N pictures, evenly spread")
    parser.add_argument("-o", "--out", type=Path, metavar="DIR", help="folder for JSON, CSV and the page")
    add_existing_arguments(parser)
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=DEFAULT_MAX_PIXELS,
        metavar="N",
        help="leave out pictures larger than this",
    )
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="an earlier eval.json to compare with")
    parser.add_argument(
        "--max-mae-loss", type=float, metavar="X", help="the most that MAE may rise (exit code 9)"
    )
    parser.add_argument(
        "--max-f-loss", type=float, metavar="X", help="the most that max F may fall (exit code 9)"
    )


def main(options: argparse.Namespace) -> int:
    """Evaluates and prints the tables, or all of it as JSON. 1: some pairs were left out."""
    names = (
        "dataset protocol precision pre engine device batch_size workers threads limit out existing max_pixels "
        "baseline max_mae_loss max_f_loss"
    ).split()
    with _bar(quiet=options.json) as bar:
        result = eval(
            options.models,
            **{name: getattr(options, name) for name in names},
            progress=not options.json,
            on_start=bar.reset,
            on_picture=lambda name: bar.update(),
            on_result=lambda result: _show(result, bar, as_json=options.json),
        )
    return 1 if result.problems else 0


def _bar(*, quiet: bool) -> tqdm[object]:
    return tqdm(
        total=0,
        unit="picture",
        file=sys.stderr,
        dynamic_ncols=True,
        disable=True if quiet else None,
        delay=0.1,
    )


def _show(result: EvalResult, bar: tqdm[object], *, as_json: bool) -> None:
    bar.close()
    if as_json:
        print(json.dumps(result.as_dict(), allow_nan=False))
        for line in described_problems(result.problems):
            print(f"left out: {line}", file=sys.stderr)
    else:
        print(result)
