"""The official network in every precision, built once into a folder: what the repository's own tables measure."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import u2forge
from u2forge.precision import PrecisionMode
from u2forge.verbs.demo_photos import demo_photos

# The sample's three precisions, and the 8-bit one whose accuracy it never reports.
TABLE_MODES: tuple[PrecisionMode, ...] = (
    "force_float32",
    "force_float16",
    "qint8_mixed_float32",
    "qint16_mixed_float32",
)
MODEL = "u2net"
HERE = Path(__file__).resolve().parent
DEFAULT_WORK = HERE / ".work"


def own_models(work: Path, calibration: Path | None, modes: Sequence[PrecisionMode]) -> list[Path]:
    """Model files for any batch, one a mode; those that are there already are taken as they are.

    calibration: photos for the quantized ones; None: the demo photos, eight times over, without a gate (four pictures
    calibrate ranges, but prove nothing).
    """
    work.mkdir(parents=True, exist_ok=True)
    paths = []
    for mode in modes:
        path = work / f"{MODEL}-{mode}-{calibration_key(calibration)}.onnx"
        if mode.startswith("force_"):
            path = work / f"{MODEL}-{mode}.onnx"
        if not path.exists():
            print(f"building {path}", file=sys.stderr)
            build_own(path, mode, calibration)
        paths.append(path)
    return paths


def calibration_key(calibration: Path | None) -> str:
    """A name for files that were made with that folder: the last part of its path, and eight digits for all of it."""
    if calibration is None:
        return "demo"
    folder = calibration.expanduser().resolve()
    return f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def build_own(path: Path, mode: PrecisionMode, calibration: Path | None) -> None:
    if mode.startswith("force_"):
        u2forge.build(MODEL, out=path, precision=mode, batch_size="dynamic", progress=True)
        return
    if calibration is not None:
        u2forge.build(
            MODEL, out=path, precision=mode, batch_size="dynamic", progress=True, calibration=[calibration]
        )
        return
    u2forge.build(
        MODEL,
        out=path,
        precision=mode,
        batch_size="dynamic",
        progress=True,
        calibration=demo_photos(),
        max_loss=None,
    )
