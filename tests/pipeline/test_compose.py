"""Cut-outs and composites: opaque pixels untouched, edges free of the old background, alpha multiplied."""

from __future__ import annotations

import numpy as np
import pytest
from picture_files import photo
from PIL import Image, ImageFilter

from u2forge.errors import InputError
from u2forge.pipeline.background import Background
from u2forge.pipeline.compose import composite, cutout
from u2forge.pipeline.foreground import decontaminate
from u2forge.pipeline.picture import Picture


def picture(rgb: np.ndarray, alpha: np.ndarray | None = None) -> Picture:
    return Picture(rgb=rgb, alpha=alpha, icc_profile=None, exif=None, source="test")


def soft_disc(height: int, width: int, blur: float) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    disc = ((y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) * 0.32) ** 2) * np.uint8(255)
    return np.asarray(Image.fromarray(disc).filter(ImageFilter.GaussianBlur(blur)))


@pytest.mark.parametrize(("height", "width", "blur"), [(200, 260, 3), (420, 300, 6), (1100, 900, 9)])
def test_colours_at_soft_edges_come_close_to_the_true_ones(height: int, width: int, blur: float) -> None:
    mask = soft_disc(height, width, blur)
    alpha = mask[:, :, None] / 255
    true = photo(height, width)[:, :, ::-1] // 2 + np.array([100, 20, 0], np.uint8)
    behind = photo(height, width) // 3 + np.array([0, 150, 160], np.uint8)
    seen = np.rint(alpha * true + (1 - alpha) * behind).astype(np.uint8)
    solved = seen.copy()
    decontaminate(seen, mask, out=solved)
    weight = alpha * ((mask > 0) & (mask < 255))[:, :, None]

    def error(colours: np.ndarray) -> float:
        return float((np.abs(colours.astype(float) - true) * weight).sum() / weight.sum())

    assert error(solved) < 0.2 * error(seen)
    np.testing.assert_array_equal(solved[mask == 255], seen[mask == 255])


def test_a_plain_object_on_a_plain_background_is_recovered() -> None:
    mask = soft_disc(300, 300, 4)
    alpha = mask[:, :, None] / 255
    seen = np.rint(alpha * np.array([200, 30, 60]) + (1 - alpha) * np.array([0, 255, 0])).astype(np.uint8)
    cut = cutout(picture(seen), mask)
    visible = (mask > 12)[:, :, None] * alpha
    halo_before = np.abs(seen - np.array([200.0, 30, 60])) * visible
    halo_after = np.abs(cut[:, :, :3] - np.array([200.0, 30, 60])) * visible
    assert halo_before.max() > 50
    assert halo_after.max() < 10


def test_cutout_of_hard_masks_is_the_picture_itself() -> None:
    rgb = photo(300, 200)
    mask = (soft_disc(300, 200, 1) > 127) * np.uint8(255)
    cut = cutout(picture(rgb), mask)
    np.testing.assert_array_equal(cut[:, :, 3], mask)
    np.testing.assert_array_equal(cut[mask == 255][:, :3], rgb[mask == 255])
    assert not cut[mask == 0].any()


def test_alpha_of_the_picture_is_multiplied() -> None:
    rgb = photo(64, 64)
    own = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    mask = soft_disc(64, 64, 5)
    expected = np.rint(mask.astype(float) * own / 255).astype(np.uint8)
    np.testing.assert_array_equal(cutout(picture(rgb, own), mask)[:, :, 3], expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (900, 1), (3, 2), (130, 129)])
@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_any_size_and_flat_mask(shape: tuple[int, int], level: int) -> None:
    rgb = photo(*shape)
    mask = np.full(shape, level, np.uint8)
    cut = cutout(picture(rgb), mask)
    np.testing.assert_array_equal(cut[:, :, 3], mask)
    if level == 255:
        np.testing.assert_array_equal(cut[:, :, :3], rgb)
    assert composite(picture(rgb), mask, Background()).shape == (*shape, 3)


def test_the_picture_and_mask_are_left_alone() -> None:
    rgb, mask = photo(90, 80), soft_disc(90, 80, 4)
    rgb.flags.writeable = mask.flags.writeable = False
    cutout(picture(rgb), mask)
    composite(picture(rgb), mask, Background())


def test_composite_is_the_cutout_over_the_background() -> None:
    rgb, mask = photo(120, 90), soft_disc(120, 90, 4)
    over = composite(picture(rgb), mask, Background(colour=(10, 200, 30)))
    cut = cutout(picture(rgb), mask).astype(float)
    alpha = cut[:, :, 3:] / 255
    expected = cut[:, :, :3] * alpha + np.array([10, 200, 30]) * (1 - alpha)
    assert np.abs(over - expected).max() <= 1


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected uint8 \(40, 60\).*found uint8 \(60, 40\)"):
        cutout(picture(photo()), np.zeros((60, 40), np.uint8))
