"""u2forge engines: printing."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from u2forge.verbs.engines import engines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`engines` takes nothing."""


def main(options: argparse.Namespace) -> int:
    """Prints each engine with its devices and precisions, or why it is not there."""
    found = engines()
    if options.json:
        print(json.dumps([asdict(status) for status in found]))
        return 0
    for status in found:
        print(status)
    return 0
