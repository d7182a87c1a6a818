"""u2forge magicmind run: arguments, and a log that leaves the program's own alone."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from u2forge.cli.shared_arguments import add_engine_arguments
from u2forge.magicmind.magicmind_run import magicmind_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `magicmind run` takes; what stands behind the script is the script's."""
    add_engine_arguments(parser, help="what the program's device 0 runs on")
    parser.add_argument("script", type=Path, metavar="SCRIPT", help="a program written for MagicMind")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, default=[], metavar="ARGS", help="its own arguments"
    )


def main(options: argparse.Namespace) -> int:
    """Runs the program; its exit code is ours."""
    _log_apart()
    return magicmind_run(
        options.script,
        tuple(options.arguments),
        engine=options.engine,
        device=options.device,
        threads=options.threads,
    )


def _log_apart() -> None:
    """The log of u2forge on stderr, by a handler of its own: the root's belongs to the program."""
    logging.getLogger().handlers.clear()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(name)s: %(levelname)s: %(message)s"))
    ours = logging.getLogger("u2forge")
    ours.handlers[:] = [handler]
    ours.propagate = False
