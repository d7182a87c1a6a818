"""u2forge infer: arguments, progress and printing."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from u2forge.cli.progress import PictureProgress
from u2forge.cli.shared_arguments import add_engine_arguments, add_existing_arguments
from u2forge.pipeline.encode_picture import PICTURE_FORMATS
from u2forge.pipeline.read_picture import DEFAULT_MAX_PIXELS
from u2forge.pipeline.render_options import OUTPUT_KINDS
from u2forge.precision import PRECISION_MODES
from u2forge.profiles import POST_PROFILES, PRE_PROFILES
from u2forge.verbs.infer import infer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `infer` takes."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="pictures, folders, globs, list files (.txt), or - for a list",
    )
    parser.add_argument(
        "-o", "--out", required=True, type=Path, help="folder (or, for one picture, file) to write"
    )
    parser.add_argument(
        "--model", default="u2net", help="a model file, or a card's name (built once, then cached)"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISION_MODES,
        help="precision mode to build a card's model for (force_float32 where not said)",
    )
    parser.add_argument(
        "--output", choices=OUTPUT_KINDS, default="mask", help="what to write for each picture"
    )
    parser.add_argument("--background", metavar="COLOUR|IMAGE", help="what a composite is put on")
    parser.add_argument("--format", choices=PICTURE_FORMATS, default="png", help="file format of the results")
    parser.add_argument("--quality", type=int, help="1 to 100, for jpeg, webp and avif")
    parser.add_argument(
        "--pre", choices=PRE_PROFILES, help="preprocessing profile (the model's own where not said)"
    )
    parser.add_argument("--post", choices=POST_PROFILES, help="postprocessing profile (likewise)")
    add_engine_arguments(parser, help="what runs the model")
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="pictures per inference (the model's own)"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="threads that decode and encode (one a processor)"
    )
    parser.add_argument("--streams", type=int, default=1, metavar="N", help="inferences side by side")
    add_existing_arguments(parser)
    parser.add_argument(
        "--max-pixels",
        type=int,
        default=DEFAULT_MAX_PIXELS,
        metavar="N",
        help="refuse pictures larger than this",
    )


def main(options: argparse.Namespace) -> int:
    """Segments the pictures; one JSON line each and a summary, or a bar and a summary to read. 1: some failed."""
    progress = PictureProgress(as_json=options.json)
    names = (
        "out model precision output background format quality pre post engine device batch_size workers threads "
        "streams existing max_pixels"
    ).split()
    with progress:
        summary = infer(
            options.inputs,
            **{name: getattr(options, name) for name in names},
            progress=not options.json,
            on_start=progress.start,
            on_report=progress.report,
        )
    if options.json:
        print(json.dumps({"summary": summary.as_dict()}))
    else:
        print(summary, file=sys.stdout)
    return 1 if summary.failed else 0
