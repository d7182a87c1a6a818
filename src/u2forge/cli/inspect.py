"""u2forge inspect: arguments and printing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from u2forge.verbs.inspect import inspect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `inspect` takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="an offline model or an ONNX graph")


def main(options: argparse.Namespace) -> int:
    """Prints what is in the file."""
    found = inspect(options.file)
    print(json.dumps(found.as_dict()) if options.json else found)
    return 0
