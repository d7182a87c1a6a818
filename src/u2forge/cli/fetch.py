"""u2forge fetch: arguments and printing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from u2forge.verbs.fetch import fetch
from u2forge.weights.cards import CARDS

SOURCE_VARIABLE = "U2FORGE_WEIGHTS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `fetch` takes."""
    parser.add_argument("name", metavar="NAME", help=f"one of: {', '.join(CARDS)}")
    parser.add_argument("--from", dest="from_file", type=Path, metavar="FILE", help="import a file you have")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="PLACE",
        help=f"folder, file or address tried first (may be repeated; also ${SOURCE_VARIABLE})",
    )


def main(options: argparse.Namespace) -> int:
    """Fetches and prints the path."""
    configured = os.environ.get(SOURCE_VARIABLE)
    source = [*options.source, *([configured] if configured else [])]
    path = fetch(
        options.name,
        from_file=options.from_file,
        source=source,
        progress=sys.stderr.isatty() or not options.json,
    )
    print(json.dumps({"name": options.name, "path": str(path)}) if options.json else path)
    return 0
