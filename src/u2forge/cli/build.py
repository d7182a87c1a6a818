"""u2forge build: arguments and printing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Literal

from u2forge.model_file.manifest_json import manifest_to_json
from u2forge.output_choice import OUTPUT_CHOICES
from u2forge.precision import PRECISION_MODES
from u2forge.profiles import POST_PROFILES, PRE_PROFILES
from u2forge.verbs.build import build


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `build` takes."""
    parser.add_argument("net", metavar="NET", help="a card's name, a checkpoint, or a float graph")
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="FILE", help="the model to write")
    parser.add_argument(
        "--precision", choices=PRECISION_MODES, default="force_float32", help="precision mode"
    )
    parser.add_argument(
        "--batch-size", type=batch_size, default=1, metavar="N|dynamic", help="pictures per inference"
    )
    parser.add_argument(
        "--input-height", type=int, default=320, metavar="PIXELS", help="rows that the net sees"
    )
    parser.add_argument(
        "--input-width", type=int, default=320, metavar="PIXELS", help="columns that the net sees"
    )
    parser.add_argument("--outputs", choices=OUTPUT_CHOICES, default="d0", help="the fused map, or all seven")
    parser.add_argument(
        "--embed-preprocessing", action="store_true", help="8-bit NHWC RGB in; normalisation inside the graph"
    )
    parser.add_argument("--pre", choices=PRE_PROFILES, default="official", help="preprocessing profile")
    parser.add_argument("--post", choices=POST_PROFILES, default="stretch", help="postprocessing profile")
    parser.add_argument("--name", help="what to call the model (the card's or file's own name)")


def batch_size(text: str) -> int | Literal["dynamic"]:
    """The argument of --batch-size as a number, or the word dynamic."""
    return "dynamic" if text == "dynamic" else int(text)


def main(options: argparse.Namespace) -> int:
    """Builds and prints the path, or the whole manifest as JSON."""
    manifest = build(
        options.net,
        out=options.out,
        precision=options.precision,
        batch_size=options.batch_size,
        input_height=options.input_height,
        input_width=options.input_width,
        outputs=options.outputs,
        embed_preprocessing=options.embed_preprocessing,
        pre=options.pre,
        post=options.post,
        name=options.name,
        progress=not options.json,
    )
    if options.json:
        print(json.dumps({"path": str(options.out), "manifest": manifest_to_json(manifest)}))
    else:
        size_mb = options.out.stat().st_size / 1e6
        print(f"{options.out}: {manifest.name}, {manifest.precision}, {manifest.inputs[0]}, {size_mb:.1f} MB")
    return 0
