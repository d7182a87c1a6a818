"""The published masks are met: picture file in, official profile, official weights, mask out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from u2forge.pipeline.postprocess import postprocess
from u2forge.pipeline.preprocess import preprocess
from u2forge.pipeline.read_picture import read_picture

onnxruntime = pytest.importorskip("onnxruntime")

# Mean difference, of full scale. JPEG decoders of different years differ; a PNG file has one meaning only.
JPEG_BOUND, PNG_BOUND = 0.0006, 0.0002
SIZE = 320


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.needs_onnxruntime
def test_official_masks_are_met(u2net_onnx: Path, shared_data: Path) -> None:
    session = onnxruntime.InferenceSession(u2net_onnx, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    photos = sorted((shared_data / "golden" / "images").iterdir())
    assert len(photos) == 18
    for path in photos:
        picture = read_picture(path)
        planes = preprocess(picture.rgb, height=SIZE, width=SIZE, profile="official")
        probability = session.run(None, {name: planes[None]})[0][0, 0]
        ours = postprocess(
            probability, height=picture.height, width=picture.width, post="stretch", pre="official"
        )
        official = np.asarray(Image.open(shared_data / "golden" / "u2net" / f"{path.stem}.png").convert("L"))
        difference = np.abs(ours.astype(int) - official)
        bound = PNG_BOUND if path.suffix == ".png" else JPEG_BOUND
        assert difference.mean() / 255 <= bound, path.name
        assert path.suffix != ".png" or difference.max() <= 1, path.name


@pytest.mark.weights
@pytest.mark.needs_onnxruntime
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (90, 120, 60)])
def test_pictures_of_one_colour_give_an_empty_mask(u2net_onnx: Path, colour: tuple[int, int, int]) -> None:
    session = onnxruntime.InferenceSession(u2net_onnx, providers=["CPUExecutionProvider"])
    rgb = np.full((50, 70, 3), colour, np.uint8)
    planes = preprocess(rgb, height=SIZE, width=SIZE, profile="official")
    probability = session.run(None, {session.get_inputs()[0].name: planes[None]})[0][0, 0]
    assert not postprocess(probability, height=50, width=70, post="stretch", pre="official").any()
