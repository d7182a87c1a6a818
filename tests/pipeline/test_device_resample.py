"""Resizing on a device: byte by byte what the processor's code and the installed Pillow make; no value is looked at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from u2forge.pipeline import device_resample
from u2forge.pipeline.device_resample import (
    resize_antialiased_on_device,
    resize_as_pillow_on_device,
    resize_bilinear_on_device,
)
from u2forge.pipeline.device_tables import DeviceTables, DeviceTaps
from u2forge.pipeline.resample import resize_antialiased, resize_bilinear
from u2forge.pipeline.resample_taps import (
    PillowKernel,
    Taps,
    antialiased_taps,
    linear_taps,
    pillow_taps,
)

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.needs_torch

SIDES = st.integers(1, 150)
SIZES = st.tuples(SIDES, SIDES)
KERNELS: tuple[PillowKernel, ...] = ("bilinear", "lanczos")
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "lanczos": Image.Resampling.LANCZOS}


@given(size=SIZES, size_out=SIZES, kernel=st.sampled_from(KERNELS), channels=st.sampled_from([None, 3]))
@example(size=(1, 1), size_out=(1, 1), kernel="lanczos", channels=3)
@example(size=(1, 1), size_out=(40, 70), kernel="bilinear", channels=None)
@example(size=(1, 150), size_out=(40, 40), kernel="lanczos", channels=3)
@example(size=(150, 2), size_out=(33, 65), kernel="lanczos", channels=3)
@example(size=(50, 60), size_out=(50, 90), kernel="bilinear", channels=None)
@example(size=(50, 60), size_out=(20, 60), kernel="lanczos", channels=3)
# Pillow 12.2 makes the rows of very tall pictures first, Pillow 13 wherever they lose twice as many as the columns.
@example(size=(1500, 14), size_out=(32, 48), kernel="lanczos", channels=3)
@example(size=(1500, 15), size_out=(32, 48), kernel="lanczos", channels=3)
@example(size=(1500, 16), size_out=(32, 48), kernel="lanczos", channels=3)
@example(size=(120, 100), size_out=(60, 70), kernel="bilinear", channels=None)
@example(size=(120, 100), size_out=(59, 70), kernel="bilinear", channels=None)
@settings(max_examples=120, deadline=None)
def test_as_pillow(
    size: tuple[int, int], size_out: tuple[int, int], kernel: PillowKernel, channels: int | None
) -> None:
    pixels = noise(size, channels)
    expected = Image.fromarray(pixels).resize((size_out[1], size_out[0]), RESAMPLING[kernel])
    np.testing.assert_array_equal(as_pillow(pixels, size_out, kernel), np.asarray(expected))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("size", "size_out"), [((320, 320), (1200, 1600)), ((900, 1300), (320, 320)), ((7, 3001), (320, 320))]
)
def test_as_pillow_at_sizes_of_use(
    kernel: PillowKernel, size: tuple[int, int], size_out: tuple[int, int]
) -> None:
    edges = (noise(size, None) > 127) * np.uint8(255)  # the kernel's overshoot is cut off at both ends
    for pixels in (noise(size, None), edges):
        expected = Image.fromarray(pixels).resize((size_out[1], size_out[0]), RESAMPLING[kernel])
        np.testing.assert_array_equal(as_pillow(pixels, size_out, kernel), np.asarray(expected))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise((41, 67), 3)
    whole = as_pillow(pixels, (90, 30), "lanczos")
    monkeypatch.setattr(device_resample, "_VALUES_PER_BLOCK", 500)
    np.testing.assert_array_equal(as_pillow(pixels, (90, 30), "lanczos"), whole)


@given(size=SIZES, size_out=SIZES, low=st.integers(0, 200))
@example(size=(1, 1), size_out=(1, 1), low=0)
@example(size=(1, 150), size_out=(40, 40), low=7)
@example(size=(150, 2), size_out=(33, 65), low=30)
@settings(max_examples=80, deadline=None)
def test_bilinear_bit_by_bit(size: tuple[int, int], size_out: tuple[int, int], low: int) -> None:
    rgb = noise(size, 3, low)
    made = resize_bilinear_on_device(
        torch.from_numpy(rgb)[None],
        rows=opened(linear_taps(size[0], size_out[0])),
        columns=opened(linear_taps(size[1], size_out[1])),
    )
    np.testing.assert_array_equal(
        made[0].numpy(), resize_bilinear(rgb, height=size_out[0], width=size_out[1])
    )


@given(size=SIZES, size_out=SIZES)
@example(size=(1, 1), size_out=(1, 1))
@example(size=(1, 150), size_out=(40, 40))
@example(size=(150, 3), size_out=(1, 65))
@settings(max_examples=80, deadline=None)
def test_antialiased_as_near_as_the_processors_code_is_to_its_source(
    size: tuple[int, int], size_out: tuple[int, int]
) -> None:
    rgb = noise(size, 3)
    made = resize_antialiased_on_device(
        torch.from_numpy(rgb)[None],
        rows=opened(antialiased_taps(size[0], size_out[0])),
        columns=opened(antialiased_taps(size[1], size_out[1])),
    )
    expected = resize_antialiased(rgb, height=size_out[0], width=size_out[1])
    assert made.dtype == torch.float32
    assert np.abs(made[0].numpy() - expected).max() <= 1e-3


def test_tables_travel_as_they_are_and_once_each() -> None:
    tables = DeviceTables()
    arrays = [
        np.arange(3, dtype=np.int32).reshape(1, 3),
        np.array([1 / 3, -2.5]),
        np.array([[0.1], [7]], np.float32),
    ]
    slots = [tables.add(array) for array in arrays]
    assert tables.add(arrays[1]) == slots[1]
    words = tables.words()
    assert words.nbytes == 16 + 16 + 8
    for array, slot in zip(arrays, slots, strict=True):
        found = slot.opened(torch.from_numpy(words)).numpy()
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_shared_taps_are_not_written_to() -> None:
    taps = linear_taps(7, 9)
    assert linear_taps(7, 9) is taps
    with pytest.raises(ValueError, match="read-only"):
        taps.weights[0, 0] = 0


def as_pillow(
    pixels: NDArray[np.uint8], size_out: tuple[int, int], kernel: PillowKernel
) -> NDArray[np.uint8]:
    rows, columns = (
        None if before == after else opened(pillow_taps(before, after, kernel))
        for before, after in zip(pixels.shape[:2], size_out, strict=True)
    )
    made: NDArray[np.uint8] = resize_as_pillow_on_device(
        torch.from_numpy(pixels)[None], rows=rows, columns=columns
    )[0].numpy()
    return made


def opened(taps: Taps) -> DeviceTaps:
    return DeviceTaps(torch.tensor(taps.index), torch.tensor(taps.weights))


def noise(size: tuple[int, int], channels: int | None, low: int = 0) -> NDArray[np.uint8]:
    shape = size if channels is None else (*size, channels)
    return np.random.default_rng(size[0] * 1000 + size[1]).integers(low, 256, shape, dtype=np.uint8)
