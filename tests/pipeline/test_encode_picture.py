"""Encoded pictures are what was put in, by Pillow's decoder; what a format cannot hold is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import loaded, photo
from PIL import ExifTags, Image, ImageCms, features

from u2forge.errors import InputError
from u2forge.pipeline.encode_picture import FILE_SUFFIX, PICTURE_FORMATS, PictureFormat, encode_picture
from u2forge.pipeline.png_bytes import png_bytes
from u2forge.pipeline.read_picture import read_picture

RGB = photo()
GREY = RGB[:, :, 0].copy()
RGBA = np.dstack([RGB, GREY])
FORMATS = [name for name in PICTURE_FORMATS if name != "avif" or features.check("avif")]


def test_every_format_has_a_suffix() -> None:
    assert set(FILE_SUFFIX) == set(PICTURE_FORMATS)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([0, 1, 2, 3, 4]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_png_holds_any_8_bit_pixels_exactly(height: int, width: int, channels: int, seed: int) -> None:
    shape = (height, width, channels) if channels else (height, width)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    decoded = np.asarray(loaded(png_bytes(pixels)))
    np.testing.assert_array_equal(decoded.reshape(pixels.shape), pixels)


def test_png_of_several_blocks_and_strided_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 2400, 4), dtype=np.uint8)[:, ::2]
    np.testing.assert_array_equal(np.asarray(loaded(png_bytes(pixels))), pixels)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_16_bit_grey_is_exact(format: PictureFormat) -> None:
    pixels = np.random.default_rng(1).integers(0, 65536, (30, 20), dtype=np.uint16)
    np.testing.assert_array_equal(np.asarray(loaded(encode_picture(pixels, format=format))), pixels)


def test_float_tiff_is_exact() -> None:
    pixels = np.random.default_rng(2).random((30, 20), dtype=np.float32)
    np.testing.assert_array_equal(np.asarray(loaded(encode_picture(pixels, format="tiff"))), pixels)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("pixels", [GREY, RGB, RGBA], ids=["grey", "rgb", "rgba"])
def test_every_format_comes_back(format: PictureFormat, pixels: np.ndarray) -> None:
    if format == "jpeg" and pixels is RGBA:
        pytest.skip("JPEG has no transparency")
    image = loaded(encode_picture(pixels, format=format))
    assert image.format == format.upper()
    decoded = np.asarray(
        image.convert({2: "L", 3: "RGB"}.get(pixels.ndim, "RGB") if pixels.ndim == 2 else image.mode)
    )
    if pixels is RGBA:
        np.testing.assert_allclose(decoded[:, :, 3], GREY, atol=6 if format == "avif" else 0)
    else:
        exact = format in ("png", "tiff") or (format == "webp" and pixels is GREY)
        assert np.abs(decoded.astype(int) - pixels).mean() <= (0 if exact else 4)


@pytest.mark.parametrize("format", FORMATS)
def test_profile_and_exif_are_written(format: PictureFormat) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    image = loaded(encode_picture(RGB, format=format, icc_profile=profile, exif=exif.tobytes()))
    assert image.info["icc_profile"] == profile
    assert image.getexif()[ExifTags.Base.Artist] == "somebody"
    again = read_picture(encode_picture(RGB, format=format, icc_profile=profile, exif=exif.tobytes()))
    assert again.icc_profile == profile
    assert again.exif is not None


@pytest.mark.parametrize("format", ["jpeg", "webp", *(["avif"] if "avif" in FORMATS else [])])
def test_quality_changes_the_size(format: PictureFormat) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert len(encode_picture(noise, format=format, quality=20)) < len(
        encode_picture(noise, format=format, quality=95)
    )


def test_jpeg_with_transparency_names_the_ways_out() -> None:
    with pytest.raises(
        InputError, match=r"jpeg, which has none.*choose png, webp, avif or tiff, or a composite"
    ):
        encode_picture(RGBA, format="jpeg")


@pytest.mark.parametrize(
    ("pixels", "format", "quality", "words"),
    [
        (GREY.astype(np.uint16), "webp", None, "found uint16"),
        (GREY.astype(np.float32), "png", None, "found float32"),
        (RGB[:, :, :2], "png", None, "found uint8"),
        (RGB[:0], "png", None, "found uint8"),
        (RGB, "png", 90, "expected none, as png loses nothing"),
        (RGB, "jpeg", 0, "expected 1 to 100; found 0"),
        (RGB, "gif", None, "expected one of png, webp, jpeg, avif, tiff"),
        (np.zeros((1, 20000), np.uint8), "webp", None, "sides of at most 16383"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    pixels: np.ndarray, format: str, quality: int | None, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        encode_picture(pixels, format=format, quality=quality)  # type: ignore[arg-type]
