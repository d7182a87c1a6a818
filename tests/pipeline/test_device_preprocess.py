"""Preprocessing on a device gives the processor's input: the same bits, and no value of a picture is looked at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from u2forge.pipeline.device_preprocess import DevicePreprocess
from u2forge.pipeline.device_tables import DeviceTables
from u2forge.pipeline.preprocess import preprocess, preprocess_uint8
from u2forge.profiles import PRE_PROFILES, STD_RGB, PreProfile

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.needs_torch

SIZES = st.tuples(st.integers(1, 120), st.integers(1, 120))
EXACT: tuple[PreProfile, ...] = ("official", "rembg")


@given(size=SIZES, size_out=SIZES, profile=st.sampled_from(EXACT), low=st.integers(0, 250))
@example(size=(1, 1), size_out=(1, 1), profile="official", low=0)
@example(size=(32, 48), size_out=(32, 48), profile="rembg", low=0)
@example(size=(120, 1), size_out=(64, 64), profile="rembg", low=9)
@example(size=(3, 120), size_out=(64, 64), profile="official", low=9)
@settings(max_examples=80, deadline=None)
def test_the_same_bits(
    size: tuple[int, int], size_out: tuple[int, int], profile: PreProfile, low: int
) -> None:
    rgb = np.random.default_rng(low).integers(low, 256, (*size, 3), dtype=np.uint8)
    planes, pixels = on_device(rgb, size_out, profile)
    height, width = size_out
    np.testing.assert_array_equal(planes, preprocess(rgb, height=height, width=width, profile=profile))
    np.testing.assert_array_equal(pixels, preprocess_uint8(rgb, height=height, width=width, profile=profile))


@given(size=SIZES, size_out=SIZES)
@settings(max_examples=40, deadline=None)
def test_antialiased_within_a_thousandth_of_a_level(size: tuple[int, int], size_out: tuple[int, int]) -> None:
    rgb = np.random.default_rng(size).integers(0, 256, (*size, 3), dtype=np.uint8)
    planes, pixels = on_device(rgb, size_out, "antialias")
    height, width = size_out
    resized_peak = max(1.0, float(pixels.max()))
    expected = preprocess(rgb, height=height, width=width, profile="antialias")
    # One level of the resized picture is so much of a plane; the peak that divides may differ likewise.
    level = 1 / (min(STD_RGB) * resized_peak)
    assert np.abs(planes - expected).max() <= 2.5e-3 * level
    rounded = preprocess_uint8(rgb, height=height, width=width, profile="antialias").astype(int)
    assert np.abs(pixels - rounded).max() <= 1


@pytest.mark.parametrize("profile", PRE_PROFILES)
def test_a_black_picture_counts_as_zeros(profile: PreProfile) -> None:
    black = np.zeros((50, 40, 3), np.uint8)
    planes, _ = on_device(black, (16, 16), profile)
    np.testing.assert_array_equal(planes, preprocess(black, height=16, width=16, profile=profile))


@pytest.mark.parametrize("profile", PRE_PROFILES)
def test_nothing_waits_for_a_value(profile: PreProfile) -> None:
    """On the device `meta` there are no values: what asks for one, or mixes in a tensor of the host, fails."""
    tables = DeviceTables()
    plan = DevicePreprocess.planned(tables, size_in=(50, 40), size_out=(16, 24), profile=profile)
    rgb = torch.empty((2, 50, 40, 3), dtype=torch.uint8, device="meta")
    words = torch.empty(len(tables.words()), dtype=torch.int64, device="meta")
    planes, pixels = plan.planes(rgb, words), plan.pixels(rgb, words)
    assert (tuple(planes.shape), planes.dtype, planes.device.type) == ((2, 3, 16, 24), torch.float32, "meta")
    assert (tuple(pixels.shape), pixels.dtype, pixels.device.type) == ((2, 16, 24, 3), torch.uint8, "meta")


def on_device(
    rgb: NDArray[np.uint8], size_out: tuple[int, int], profile: PreProfile
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    tables = DeviceTables()
    plan = DevicePreprocess.planned(tables, size_in=rgb.shape[:2], size_out=size_out, profile=profile)
    words = torch.from_numpy(tables.words())
    # Between two others of its size, which must not count for it.
    batch = torch.from_numpy(np.stack([rgb // 3, rgb, 255 - rgb]))
    planes = plan.planes(batch, words)
    assert planes.dtype == torch.float32
    pixels = plan.pixels(batch, words)
    assert pixels.dtype == torch.uint8
    return planes[1].numpy(), pixels[1].numpy()
