"""Both resizes equal scikit-image's, over all kinds of sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from u2forge.pipeline.resample import resize_antialiased, resize_bilinear

transform = pytest.importorskip("skimage.transform")

SIDES = st.integers(1, 130)
# Stated in the docstrings, of 255; what float32 sums lose is below 5e-5.
BILINEAR_BOUND, ANTIALIASED_BOUND = 1e-4, 1e-3


@given(
    height=SIDES,
    width=SIDES,
    out_height=st.integers(1, 70),
    out_width=st.integers(1, 70),
    low=st.integers(0, 200),
)
@example(height=1, width=1, out_height=1, out_width=1, low=0)
@example(height=1, width=130, out_height=40, out_width=40, low=7)
@example(height=130, width=2, out_height=33, out_width=65, low=30)
@settings(max_examples=80, deadline=None)
def test_bilinear_equals_scikit_image_with_a_constant_border(
    height: int, width: int, out_height: int, out_width: int, low: int
) -> None:
    rgb = _noise(height, width, low)
    expected = (
        transform.resize(rgb, (out_height, out_width), order=1, mode="constant", anti_aliasing=False) * 255
    )
    ours = resize_bilinear(rgb, height=out_height, width=out_width)
    assert ours.dtype == np.float32
    assert np.abs(ours - expected).max() <= BILINEAR_BOUND


@given(height=SIDES, width=SIDES, out_height=st.integers(1, 70), out_width=st.integers(1, 70))
@example(height=1, width=1, out_height=1, out_width=1)
@example(height=1, width=130, out_height=40, out_width=40)
@example(height=130, width=3, out_height=1, out_width=65)
@settings(max_examples=80, deadline=None)
def test_antialiased_equals_scikit_image(height: int, width: int, out_height: int, out_width: int) -> None:
    rgb = _noise(height, width, 0)
    expected = (
        transform.resize(rgb, (out_height, out_width), order=1, mode="reflect", anti_aliasing=True) * 255
    )
    ours = resize_antialiased(rgb, height=out_height, width=out_width)
    assert ours.dtype == np.float32
    assert np.abs(ours - expected).max() <= ANTIALIASED_BOUND


@pytest.mark.parametrize("size", [(700, 1100), (173, 290), (20, 5000), (3001, 7)])
def test_at_the_networks_size(size: tuple[int, int]) -> None:
    rgb = _noise(*size, low=3)
    expected = transform.resize(rgb, (320, 320), mode="constant", anti_aliasing=False) * 255
    assert np.abs(resize_bilinear(rgb, height=320, width=320) - expected).max() <= BILINEAR_BOUND
    expected = transform.resize(rgb, (320, 320)) * 255
    assert np.abs(resize_antialiased(rgb, height=320, width=320) - expected).max() <= ANTIALIASED_BOUND


@pytest.mark.parametrize("resize", [resize_bilinear, resize_antialiased])
def test_its_own_size_changes_nothing(resize: object) -> None:
    rgb = _noise(31, 45, 0)
    np.testing.assert_array_equal(resize(rgb, height=31, width=45), rgb)  # type: ignore[operator]


def _noise(height: int, width: int, low: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(low, 256, (height, width, 3), dtype=np.uint8)
