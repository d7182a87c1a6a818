"""u2forge export: arguments and printing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from u2forge.verbs.export import EXPORT_FORMATS, export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `export` takes."""
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help=".pth, .pt, .safetensors or .onnx file, or a card's name"
    )
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="FILE", help="the file to write")
    parser.add_argument("--to", choices=EXPORT_FORMATS, default="onnx", help="what to write")


def main(options: argparse.Namespace) -> int:
    """Exports and prints the path."""
    path = export(options.checkpoint, out=options.out, to=options.to, progress=not options.json)
    print(json.dumps({"path": str(path), "format": options.to}) if options.json else path)
    return 0
