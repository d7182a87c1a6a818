"""Masks: as published where a picture has an object, empty where the map is flat, never NaN."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from u2forge.errors import EngineError, InputError
from u2forge.pipeline.postprocess import FLAT_RANGE, postprocess, quantize_probability, resize_probability
from u2forge.profiles import POST_PROFILES, PRE_PROFILES, PostProfile, PreProfile


@pytest.fixture
def probability() -> np.ndarray:
    y, x = np.mgrid[0:32, 0:32]
    blob = np.exp(-((y - 14) ** 2 + (x - 18) ** 2) / 60)
    return (0.05 + 0.8 * blob).astype(np.float32)


def test_stretch_equals_the_published_code(probability: np.ndarray) -> None:
    stretched = (probability - probability.min()) / (probability.max() - probability.min())
    upstream = (
        Image.fromarray(stretched * 255).convert("RGB").resize((77, 50), resample=Image.Resampling.BILINEAR)
    )
    ours = postprocess(probability, height=50, width=77, post="stretch", pre="official")
    np.testing.assert_array_equal(ours, np.asarray(upstream)[:, :, 0])


def test_stretch_after_rembg_equals_rembg(probability: np.ndarray) -> None:
    stretched = (probability - probability.min()) / (probability.max() - probability.min())
    rembg = Image.fromarray((stretched * 255).astype("uint8")).resize((77, 50), Image.Resampling.LANCZOS)
    ours = postprocess(probability, height=50, width=77, post="stretch", pre="rembg")
    np.testing.assert_array_equal(ours, np.asarray(rembg))


def test_raw_is_not_stretched(probability: np.ndarray) -> None:
    ours = postprocess(probability, height=32, width=32, post="raw", pre="official")
    np.testing.assert_array_equal(ours, np.rint(probability * 255).astype(np.uint8))


def test_threshold_is_on_the_raw_probability(probability: np.ndarray) -> None:
    ours = postprocess(probability, height=32, width=32, post="threshold", pre="official")
    np.testing.assert_array_equal(ours, np.where(probability >= 0.5, 255, 0))
    assert not postprocess(probability * 0.5, height=90, width=70, post="threshold", pre="official").any()


@pytest.mark.parametrize("pre", PRE_PROFILES)
@pytest.mark.parametrize("level", [0.0, 0.02, 0.5, 1.0])
def test_a_flat_map_stretches_to_an_empty_mask(pre: PreProfile, level: float) -> None:
    flat = np.full((16, 16), level, np.float32)
    flat[3:9] -= np.float32(min(level, FLAT_RANGE * 0.9))
    assert not postprocess(flat, height=20, width=30, post="stretch", pre=pre).any()


@pytest.mark.parametrize("post", POST_PROFILES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (400, 1)])
def test_any_size(probability: np.ndarray, post: PostProfile, shape: tuple[int, int]) -> None:
    mask = postprocess(probability, height=shape[0], width=shape[1], post=post, pre="official")
    assert mask.shape == shape
    assert mask.dtype == np.uint8
    assert mask.flags.writeable


@pytest.mark.parametrize("post", POST_PROFILES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_are_refused(probability: np.ndarray, post: PostProfile, bad: float) -> None:
    probability[3, 4] = bad
    with pytest.raises(EngineError, match="1 of 1024 values are NaN or infinite"):
        postprocess(probability, height=8, width=8, post=post, pre="official")
    with pytest.raises(EngineError):
        resize_probability(probability, height=8, width=8)


def test_wrong_arguments_are_refused(probability: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"expected float32 \(h, w\).*found float32 \(1, 32, 32\)"):
        postprocess(probability[None], height=8, width=8, post="raw", pre="official")
    with pytest.raises(InputError, match="one of stretch, raw, threshold"):
        postprocess(probability, height=8, width=8, post="otsu", pre="official")  # type: ignore[arg-type]


def test_probability_keeps_its_values(probability: np.ndarray) -> None:
    same = resize_probability(probability, height=32, width=32)
    np.testing.assert_allclose(same, probability, atol=1e-6)
    large = resize_probability(probability, height=100, width=60)
    assert large.shape == (100, 60)
    assert large.dtype == np.float32
    assert probability.min() <= large.min() <= large.max() <= probability.max()


def test_quantized_probability_is_within_half_a_step() -> None:
    values = np.linspace(0, 1, 1001, dtype=np.float32)[None]
    levels = quantize_probability(values)
    assert levels.dtype == np.uint16
    assert levels.max() == 65535
    assert np.abs(levels / 65535 - values).max() <= 0.5 / 65535 + 1e-7
