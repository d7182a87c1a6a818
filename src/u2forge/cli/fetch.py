"""u2forge fetch: arguments and printing."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from u2forge.verbs.fetch import fetch
from u2forge.weights.cards import CARDS
from u2forge.weights.configured_sources import ENVIRONMENT_VARIABLE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `fetch` takes."""
    parser.add_argument("name", metavar="NAME", help=f"one of: {', '.join(CARDS)}")
    parser.add_argument("--from", dest="from_file", type=Path, metavar="FILE", help="import a file you have")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="PLACE",
        help=f"folder, file or address tried first (may be repeated; also ${ENVIRONMENT_VARIABLE})",
    )


def main(options: argparse.Namespace) -> int:
    """Fetches and prints the path."""
    path = fetch(
        options.name,
        from_file=options.from_file,
        source=options.source,
        progress=sys.stderr.isatty() or not options.json,
    )
    print(json.dumps({"name": options.name, "path": str(path)}) if options.json else path)
    return 0
