"""Arguments that several verbs take alike: what runs the model, and what to do about results that are there."""

from __future__ import annotations

import argparse

from u2forge.engine.registry import ENGINES
from u2forge.pipeline.job_record import EXISTING_POLICIES
from u2forge.target import UNVERIFIED

MAGICMIND_NOTE = f"; magicmind, Cambricon's SDK, is {UNVERIFIED}"


def add_engine_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup, *, help: str) -> None:
    """--engine, whose help text is `help`, --device and --threads."""
    parser.add_argument(
        "--engine", choices=("auto", *ENGINES), default="auto", help=f"{help}{MAGICMIND_NOTE}"
    )
    parser.add_argument("--device", default="auto", help="a device that `u2forge engines` lists")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the engine (one a processor)")


def add_existing_arguments(parser: argparse.ArgumentParser) -> None:
    """--existing, and --resume for one of its choices."""
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--existing",
        choices=EXISTING_POLICIES,
        default="refuse",
        help="what to do about results that are there already",
    )
    existing.add_argument(
        "--resume", dest="existing", action="store_const", const="resume", help="same as --existing resume"
    )
