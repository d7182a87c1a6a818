"""u2forge build: arguments and printing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Literal

from u2forge.cli.shared_arguments import add_engine_arguments
from u2forge.evaluate.accuracy_gate import DEFAULT_MAX_LOSS, DEFAULT_MIN_IOU
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.manifest_json import manifest_to_json
from u2forge.output_choice import OUTPUT_CHOICES
from u2forge.precision import PRECISION_MODES
from u2forge.profiles import POST_PROFILES, PRE_PROFILES
from u2forge.quantize.options import (
    ACTIVATION_SCHEMES,
    DEFAULT_WEIGHT_BITS,
    RANGE_ALGORITHMS,
    WEIGHT_GRANULARITIES,
)
from u2forge.target import TARGETS, UNVERIFIED
from u2forge.verbs.build import build


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `build` takes."""
    parser.add_argument("net", metavar="NET", help="a card's name, a checkpoint, or a float graph")
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="FILE", help="the model to write")
    parser.add_argument(
        "--target",
        choices=TARGETS,
        default="portable",
        help="portable: for every engine here; mlu370: MagicMind's own offline model, made by Cambricon's SDK where "
        f"that is installed ({UNVERIFIED})",
    )
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
    _add_quantization(parser.add_argument_group("quantized precisions (qint8_…, qint16_…)"))


def _add_quantization(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--calibration",
        action="append",
        default=[],
        metavar="SOURCE",
        help="folder, picture, list file (.txt), random[:LOW,HIGH] or a .json file of ranges (may be repeated)",
    )
    group.add_argument(
        "--calibration-count", type=int, default=96, metavar="N", help="pictures to take, evenly spread"
    )
    group.add_argument(
        "--check",
        action="append",
        default=[],
        metavar="SOURCE",
        help="pictures for the accuracy gate (every third calibration picture where not given)",
    )
    group.add_argument(
        "--algorithm", choices=RANGE_ALGORITHMS, default="eqnm", help="how ranges follow from what was seen"
    )
    group.add_argument(
        "--weight-granularity", choices=WEIGHT_GRANULARITIES, default="per_channel", help="scales of weights"
    )
    group.add_argument(
        "--weight-bits",
        type=int,
        choices=(7, 8),
        default=DEFAULT_WEIGHT_BITS,
        help="7 computes the same on every processor; 8 is a little finer, and wrong on those without VNNI",
    )
    group.add_argument(
        "--activations", choices=ACTIVATION_SCHEMES, default="asymmetric", help="zero point of activations"
    )
    group.add_argument(
        "--equalize",
        type=float,
        default=0.5,
        metavar="0..1",
        help="how far channels are brought to one range",
    )
    group.add_argument(
        "--bias-correction",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="take the mean error of rounded weights off the bias",
    )
    group.add_argument(
        "--max-loss",
        type=max_loss,
        default=DEFAULT_MAX_LOSS,
        metavar="X|none",
        help="accuracy gate: largest mean map difference to float32 (none: no check at all)",
    )
    group.add_argument(
        "--min-iou",
        type=float,
        default=DEFAULT_MIN_IOU,
        help="accuracy gate: smallest IoU of any check picture",
    )
    group.add_argument(
        "--report", type=Path, metavar="FILE", help="rank the layers; table, and a page with a plot in FILE"
    )
    add_engine_arguments(group, help="what calibrates and checks")


def batch_size(text: str) -> int | Literal["dynamic"]:
    """The argument of --batch-size as a number, or the word dynamic."""
    return "dynamic" if text == "dynamic" else int(text)


def max_loss(text: str) -> float | None:
    """The argument of --max-loss as a number, None for the word none."""
    return None if text == "none" else float(text)


def main(options: argparse.Namespace) -> int:
    """Builds and prints the path, or the whole manifest as JSON."""
    manifest = build(
        options.net,
        out=options.out,
        target=options.target,
        precision=options.precision,
        batch_size=options.batch_size,
        input_height=options.input_height,
        input_width=options.input_width,
        outputs=options.outputs,
        embed_preprocessing=options.embed_preprocessing,
        pre=options.pre,
        post=options.post,
        name=options.name,
        calibration=options.calibration,
        calibration_count=options.calibration_count,
        check=options.check,
        algorithm=options.algorithm,
        weight_granularity=options.weight_granularity,
        weight_bits=options.weight_bits,
        activations=options.activations,
        equalize=options.equalize,
        bias_correction=options.bias_correction,
        max_loss=options.max_loss,
        min_iou=options.min_iou,
        report=options.report,
        engine=options.engine,
        device=options.device,
        threads=options.threads,
        progress=not options.json,
        on_layers=print if options.report and not options.json else None,
    )
    if options.json:
        print(json.dumps({"path": str(options.out), "manifest": manifest_to_json(manifest)}))
    else:
        size_mb = options.out.stat().st_size / 1e6
        print(f"{options.out}: {manifest.name}, {manifest.precision}, {manifest.inputs[0]}, {size_mb:.1f} MB")
        for line in _accuracy_lines(manifest):
            print(line)
    return 0


def _accuracy_lines(manifest: Manifest) -> list[str]:
    if manifest.quantization is None:
        return []
    accuracy = manifest.quantization.accuracy
    if accuracy is None:
        return ["accuracy unknown: built without a check (--max-loss none)"]
    floats = len(manifest.quantization.float_layers)
    return [
        f"{accuracy.pictures} check pictures, {accuracy.engine} in {accuracy.executed}: mean map difference "
        f"{accuracy.mean_difference:.5f} (worst {accuracy.worst_difference:.5f}), worst IoU {accuracy.worst_iou:.3f}; "
        f"{floats} layer{'s' if floats != 1 else ''} in float"
    ]
