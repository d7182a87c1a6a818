"""What each protocol compares with the ground truth."""

import numpy as np
import pytest

from u2forge.errors import EngineError
from u2forge.evaluate.predictions import enlarged, predictions
from u2forge.pipeline.postprocess import postprocess

MAP = np.random.default_rng(0).uniform(0.1, 0.8, (20, 30)).astype(np.float32)


def test_masks_are_those_of_infer() -> None:
    made = predictions(MAP, protocols=["paper", "pysodmetrics"], height=44, width=61, pre="official")
    expected = postprocess(MAP, height=44, width=61, post="stretch", pre="official")
    assert made.keys() == {"paper", "pysodmetrics"}
    assert all(np.array_equal(mask, expected) and mask.dtype == np.uint8 for mask in made.values())


def test_magicmind_takes_unrounded_values() -> None:
    made = predictions(MAP, protocols=["magicmind"], height=20, width=30, pre="official")["magicmind"]
    assert made.dtype == np.float32
    stretched = (MAP - MAP.min()) / (MAP.max() - MAP.min()) * 255
    assert np.abs(made - stretched).max() < 1e-3
    assert not np.array_equal(made, np.rint(made))


def test_enlarging_keeps_the_range() -> None:
    large = enlarged(MAP, height=50, width=70)
    assert large.shape == (50, 70)
    assert MAP.min() <= large.min() <= large.max() <= MAP.max()
    assert enlarged(MAP, height=20, width=30) is MAP


def test_nan_is_refused() -> None:
    with pytest.raises(EngineError, match="finite"):
        predictions(
            np.full((4, 4), np.nan, np.float32), protocols=["paper"], height=4, width=4, pre="official"
        )
