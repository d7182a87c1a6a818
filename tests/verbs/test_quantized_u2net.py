"""The official weights, quantized with real photos: the gate's figures, and data that it has to refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import u2forge
from u2forge.errors import AccuracyError
from u2forge.evaluate.parity import parity
from u2forge.pipeline.postprocess import stretch

pytestmark = [pytest.mark.weights, pytest.mark.shared]
# Fewer pictures than by default, for time: the real figures are in docs/accuracy.md.
COUNT = 24


def test_int8_stays_nearer_to_float32_than_its_gate_asks(
    u2net_onnx: Path, shared_data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "int8.onnx"
    manifest = u2forge.build(
        "u2net",
        out=path,
        precision="qint8_mixed_float32",
        calibration=shared_data / "duts_tr_300" / "images",
        calibration_count=COUNT,
    )
    record = manifest.quantization
    assert record is not None
    assert record.accuracy is not None
    # Measured 0.0002 with 32 check pictures; with weights rounded without care it is 0.0014.
    assert record.accuracy.mean_difference < 0.001
    assert {layer.name for layer in record.float_layers} == {
        "stage1d.rebnconv2d.conv_s1",
        "stage2d.rebnconv1d.conv_s1",
        "outconv",
    }
    photos = [
        u2forge.read_picture(photo) for photo in sorted((shared_data / "golden" / "images").iterdir())[:8]
    ]
    with u2forge.open_segmenter("u2net") as exact, u2forge.open_segmenter(path) as rounded:
        assert rounded.engine.info.precision_executed == "int8"
        losses = [
            parity(stretch(exact.segment(photo).probability), stretch(rounded.segment(photo).probability))
            for photo in photos
        ]
    # Photos of another kind than the calibration's; the goal of the project is 0.003.
    assert np.mean([loss.mean_difference for loss in losses]) < 0.003


def test_red_and_blue_swapped_are_refused(u2net_onnx: Path, shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bgr"
    folder.mkdir()
    for photo in sorted((shared_data / "duts_tr_300" / "images").iterdir())[::12][:COUNT]:
        with Image.open(photo) as image:
            pixels = np.asarray(image.convert("RGB"))[..., ::-1]
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{photo.stem}.png")
    with pytest.raises(AccuracyError, match=r"red and blue look swapped \(BGR instead of RGB\)"):
        u2forge.build(
            "u2net", out=tmp_path / "int8.onnx", precision="qint8_mixed_float32", calibration=folder
        )
    assert not (tmp_path / "int8.onnx").exists()
