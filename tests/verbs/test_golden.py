"""The published masks are met, by the whole product, on every engine.

Bounds: 0.0006 of full scale for each photo and 0.0002 for each PNG one, in mean. JPEG decoders differ between the
authors' library of 2020 and today's, which is what is left; lossless photos agree within one grey level.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from installed_engines import INSTALLED, options_for
from PIL import Image

import u2forge


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.parametrize("engine", INSTALLED)
def test_the_published_masks_are_met(
    engine: str, u2net_onnx: Path, shared_data: Path, tmp_path: Path
) -> None:
    photos = sorted((shared_data / "golden" / "images").iterdir())
    device = options_for(engine).device
    summary = u2forge.infer(photos, out=tmp_path, model="u2net", engine=engine, device=device, pre="official")
    assert (summary.done, summary.failed) == (18, 0)
    assert summary.engine.precision_executed == "float32"
    differences = {}
    for photo in photos:
        published = Image.open(shared_data / "golden" / "u2net" / f"{photo.stem}.png").convert("L")
        with Image.open(tmp_path / f"{photo.stem}.png") as mask:
            difference = np.abs(np.asarray(mask, float) - np.asarray(published, float))
        differences[photo.name] = float(difference.mean() / 255)
        assert photo.suffix != ".png" or difference.max() <= 1, (
            f"{photo.name}: {difference.max()} grey levels"
        )
    too_far = {
        name: difference
        for name, difference in differences.items()
        if difference > (0.0002 if name.endswith(".png") else 0.0006)
    }
    assert too_far == {}
