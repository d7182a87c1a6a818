"""u2forge run: arguments and printing."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from u2forge.cli.shared_arguments import add_engine_arguments
from u2forge.verbs.run import run
from u2forge.weights.cards import CARDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `run` takes."""
    parser.add_argument(
        "images", nargs="?", metavar="IMAGES", help="a folder of photos; without it, demo photos"
    )
    parser.add_argument("-o", "--out", type=Path, default=Path("out"), help="folder to write")
    parser.add_argument("--model", choices=sorted(CARDS), default="u2net", help="official weights to run")
    add_engine_arguments(parser, help="what runs the model")


def main(options: argparse.Namespace) -> int:
    """Runs the job and prints its table. 1: some pictures failed."""
    result = run(
        options.images,
        out=options.out,
        model=options.model,
        engine=options.engine,
        device=options.device,
        threads=options.threads,
        progress=not options.json,
        on_picture=None if options.json else lambda name: print(f"done: {name}", file=sys.stderr),
    )
    for failure in result.failures:
        print(f"failed: {failure}", file=sys.stderr)
    print(json.dumps(result.as_dict()) if options.json else result)
    return 1 if result.failures else 0
