"""Postprocessing on a device gives the processor's masks: the same bytes, and no value of a map is looked at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from u2forge.pipeline.device_postprocess import DevicePostprocess
from u2forge.pipeline.device_tables import DeviceTables
from u2forge.pipeline.postprocess import FLAT_RANGE, postprocess
from u2forge.profiles import POST_PROFILES, PRE_PROFILES, PostProfile, PreProfile

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.needs_torch

SIZES = st.tuples(st.integers(1, 120), st.integers(1, 120))


@given(
    size=SIZES,
    size_out=SIZES,
    post=st.sampled_from(POST_PROFILES),
    pre=st.sampled_from(PRE_PROFILES),
    low=st.floats(0, 1, width=32),
    span=st.floats(0, 1, width=32),
)
@example(size=(1, 1), size_out=(1, 1), post="stretch", pre="official", low=0.5, span=0.5)
@example(size=(32, 32), size_out=(1, 500), post="threshold", pre="rembg", low=0, span=1)
@example(size=(32, 32), size_out=(400, 1), post="raw", pre="official", low=0, span=1)
@example(size=(32, 48), size_out=(32, 48), post="threshold", pre="official", low=0, span=1)
@settings(max_examples=120, deadline=None)
def test_the_same_bytes(
    size: tuple[int, int],
    size_out: tuple[int, int],
    post: PostProfile,
    pre: PreProfile,
    low: float,
    span: float,
) -> None:
    noise = np.random.default_rng(size).random(size, dtype=np.float32)
    probability = np.clip(np.float32(low) + noise * np.float32(span), 0, 1)
    expected = postprocess(probability, height=size_out[0], width=size_out[1], post=post, pre=pre)
    np.testing.assert_array_equal(on_device(probability, size_out, post, pre), expected)


@pytest.mark.parametrize("width", [FLAT_RANGE, np.nextafter(np.float32(FLAT_RANGE), np.float32(0))])
def test_the_edge_of_what_counts_as_flat(width: float) -> None:
    probability = np.zeros((16, 16), np.float32)
    probability[3:9, 4:12] = width
    expected = postprocess(probability, height=40, width=30, post="stretch", pre="official")
    assert bool(expected.any()) == (width >= FLAT_RANGE)
    np.testing.assert_array_equal(on_device(probability, (40, 30), "stretch", "official"), expected)


@pytest.mark.parametrize("post", POST_PROFILES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_broken_map_makes_some_mask_and_no_error(post: PostProfile, bad: float) -> None:
    probability = np.full((16, 16), 0.5, np.float32)
    probability[3, 4] = bad
    assert on_device(probability, (20, 30), post, "official").shape == (20, 30)


@pytest.mark.parametrize("post", POST_PROFILES)
@pytest.mark.parametrize("pre", ["official", "rembg"])
def test_nothing_waits_for_a_value(post: PostProfile, pre: PreProfile) -> None:
    """On the device `meta` there are no values: what asks for one, or mixes in a tensor of the host, fails."""
    tables = DeviceTables()
    plan = DevicePostprocess.planned(tables, size_in=(16, 24), size_out=(50, 40), post=post, pre=pre)
    words = torch.empty(len(tables.words()), dtype=torch.int64, device="meta")
    masks = plan.masks(torch.empty((2, 16, 24), device="meta"), words)
    assert (tuple(masks.shape), masks.dtype, masks.device.type) == ((2, 50, 40), torch.uint8, "meta")


def on_device(
    probability: NDArray[np.float32], size_out: tuple[int, int], post: PostProfile, pre: PreProfile
) -> NDArray[np.uint8]:
    tables = DeviceTables()
    plan = DevicePostprocess.planned(tables, size_in=probability.shape, size_out=size_out, post=post, pre=pre)
    # Between two others, whose own range must not count for it.
    batch = torch.from_numpy(np.stack([probability / 2, probability, 1 - probability]))
    masks = plan.masks(batch, torch.from_numpy(tables.words()))
    assert masks.dtype == torch.uint8
    made: NDArray[np.uint8] = masks[1].numpy()
    return made
