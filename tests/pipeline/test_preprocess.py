"""The network's input: normalised as published, each picture by its own maximum, never NaN."""

from __future__ import annotations

import numpy as np
import pytest
from picture_files import photo
from PIL import Image

from u2forge.errors import InputError
from u2forge.pipeline.preprocess import preprocess, preprocess_uint8
from u2forge.profiles import MEAN_RGB, PRE_PROFILES, STD_RGB, PreProfile

MEAN, STD = np.array(MEAN_RGB), np.array(STD_RGB)


def _normalised(unit_hwc: np.ndarray) -> np.ndarray:
    return ((unit_hwc - MEAN) / STD).transpose(2, 0, 1)


@pytest.mark.parametrize("anti_aliasing", [False, True])
def test_equals_the_original_processing(anti_aliasing: bool) -> None:
    transform = pytest.importorskip("skimage.transform")
    rgb = photo(90, 130) // 2
    resized = transform.resize(
        rgb, (64, 48), mode="reflect" if anti_aliasing else "constant", anti_aliasing=anti_aliasing
    )
    profile: PreProfile = "antialias" if anti_aliasing else "official"
    ours = preprocess(rgb, height=64, width=48, profile=profile)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous
    np.testing.assert_allclose(ours, _normalised(resized / resized.max()), atol=1e-5)


def test_equals_rembg() -> None:
    rgb = photo(90, 130) // 2
    shrunk = np.array(Image.fromarray(rgb).resize((48, 64), Image.Resampling.LANCZOS))
    expected = _normalised(shrunk / max(np.max(shrunk), 1e-6))
    np.testing.assert_allclose(preprocess(rgb, height=64, width=48, profile="rembg"), expected, atol=1e-5)


@pytest.mark.parametrize("profile", PRE_PROFILES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (700, 1), (5, 3000)])
def test_thin_pictures_keep_the_shape(profile: PreProfile, shape: tuple[int, int]) -> None:
    ours = preprocess(photo(*shape), height=32, width=48, profile=profile)
    assert ours.shape == (3, 32, 48)
    assert np.isfinite(ours).all()


@pytest.mark.parametrize("profile", PRE_PROFILES)
def test_a_black_picture_is_zeros_normalised(profile: PreProfile) -> None:
    ours = preprocess(np.zeros((50, 40, 3), np.uint8), height=16, width=16, profile=profile)
    np.testing.assert_allclose(ours, np.broadcast_to((-MEAN / STD)[:, None, None], ours.shape), rtol=1e-5)


@pytest.mark.parametrize("profile", PRE_PROFILES)
def test_each_picture_is_divided_by_its_own_maximum(profile: PreProfile) -> None:
    bright = photo(64, 64) // 4 * 4
    dark = bright // 4
    ours = preprocess(dark, height=16, width=16, profile=profile)
    bound = 0.2 if profile == "rembg" else 1e-4  # rembg rounds to 8 bits before it divides
    assert np.abs(ours - preprocess(bright, height=16, width=16, profile=profile)).max() < bound


@pytest.mark.parametrize("profile", PRE_PROFILES)
def test_uint8_for_graphs_that_normalise_inside(profile: PreProfile) -> None:
    rgb = photo(90, 130)
    resized = preprocess_uint8(rgb, height=32, width=48, profile=profile)
    assert resized.shape == (32, 48, 3)
    assert resized.dtype == np.uint8
    inside = _normalised(resized / resized.max())
    assert np.abs(inside - preprocess(rgb, height=32, width=48, profile=profile)).max() < 0.03


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected uint8 \(H, W, 3\).*found float32"):
        preprocess(photo().astype(np.float32), height=8, width=8, profile="official")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="one of official, antialias, rembg"):
        preprocess(photo(), height=8, width=8, profile="best")  # type: ignore[arg-type]
