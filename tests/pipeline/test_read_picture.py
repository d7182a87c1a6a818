"""Pictures of every format, mode and orientation are read right; all else is an ImageError that says why."""

from __future__ import annotations

import io
import random
import struct
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from picture_files import photo, saved
from PIL import ExifTags, Image, ImageCms, features

from u2forge.errors import ImageError, MissingDependencyError
from u2forge.pipeline.png_bytes import png_bytes
from u2forge.pipeline.read_picture import DEFAULT_MAX_PIXELS, read_picture

RGB = photo()
IMAGE = Image.fromarray(RGB)
ALPHA = np.tile(np.linspace(0, 255, RGB.shape[1]).astype(np.uint8), (RGB.shape[0], 1))
WITH_ALPHA = Image.fromarray(np.dstack([RGB, ALPHA]))
GREY = IMAGE.convert("L")

# Mean difference that the format's own loss may make, in grey levels.
LOSSLESS, LOSSY = 0.0, 3.0
FORMATS = {
    "jpeg": (saved(IMAGE, "JPEG", quality=95), LOSSY),
    "png": (saved(IMAGE, "PNG"), LOSSLESS),
    "png interlaced by none, level 0": (saved(IMAGE, "PNG", compress_level=0), LOSSLESS),
    "webp": (saved(IMAGE, "WEBP", quality=95), LOSSY),
    "webp lossless": (saved(IMAGE, "WEBP", lossless=True), LOSSLESS),
    "tiff": (saved(IMAGE, "TIFF"), LOSSLESS),
    "tiff lzw": (saved(IMAGE, "TIFF", compression="tiff_lzw"), LOSSLESS),
    "bmp": (saved(IMAGE, "BMP"), LOSSLESS),
    "gif": (saved(IMAGE, "GIF"), 12.0),
    "png palette": (saved(IMAGE.quantize(200), "PNG"), 12.0),
}
if features.check("avif"):
    FORMATS["avif"] = (saved(IMAGE, "AVIF", quality=95), LOSSY)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_pixels_that_were_put_in(name: str) -> None:
    data, bound = FORMATS[name]
    picture = read_picture(data)
    assert picture.rgb.dtype == np.uint8
    assert picture.rgb.shape == RGB.shape
    assert picture.rgb.flags.c_contiguous
    assert picture.alpha is None
    assert (picture.height, picture.width) == RGB.shape[:2]
    assert np.abs(picture.rgb.astype(int) - RGB).mean() <= bound


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_kept_apart(format: str) -> None:
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    picture = read_picture(saved(WITH_ALPHA, format, **options))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, ALPHA)
    np.testing.assert_array_equal(picture.rgb, RGB)


def test_an_alpha_channel_that_hides_nothing_is_none() -> None:
    opaque = IMAGE.copy()
    opaque.putalpha(255)
    assert read_picture(saved(opaque, "PNG")).alpha is None


def test_grey_is_one_channel_repeated() -> None:
    expected = np.repeat(np.asarray(GREY)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_picture(saved(GREY, "PNG")).rgb, expected)
    picture = read_picture(saved(Image.merge("LA", (GREY, Image.fromarray(ALPHA))), "PNG"))
    np.testing.assert_array_equal(picture.rgb, expected)
    np.testing.assert_array_equal(picture.alpha, ALPHA)


def test_one_bit_is_black_and_white() -> None:
    bits = GREY.point(lambda level: 255 * (level > 120)).convert("1")
    picture = read_picture(saved(bits, "PNG"))
    np.testing.assert_array_equal(picture.rgb[:, :, 0], np.asarray(bits) * 255)


def test_transparent_colour_of_palette_and_grey() -> None:
    palette = IMAGE.quantize(16)
    picture = read_picture(saved(palette, "PNG", transparency=3))
    np.testing.assert_array_equal(picture.alpha == 0, np.asarray(palette) == 3)
    picture = read_picture(saved(GREY, "PNG", transparency=int(np.asarray(GREY)[0, 0])))
    assert picture.alpha is not None
    assert picture.alpha[0, 0] == 0
    np.testing.assert_array_equal(picture.alpha == 0, np.asarray(GREY) == np.asarray(GREY)[0, 0])


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_is_rounded_not_cut_off(format: str) -> None:
    deep = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    picture = read_picture(saved(Image.fromarray(deep), format))
    np.testing.assert_array_equal(picture.rgb[:, :, 1], np.rint(deep / 257).astype(np.uint8))


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_is_rounded_not_cut_off(channels: int) -> None:
    deep = np.random.default_rng(5).integers(0, 65536, (16, 20, channels), dtype=np.uint16)
    picture = read_picture(png_bytes(deep))
    expected = np.rint(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(picture.rgb, expected[:, :, :3])
    if channels == 4:
        np.testing.assert_array_equal(picture.alpha, expected[:, :, 3])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_16_bit_colour_tiff_is_rounded_not_cut_off(
    tmp_path: Path, order: str, compression: str | None
) -> None:
    tifffile = pytest.importorskip("tifffile")
    deep = np.random.default_rng(6).integers(0, 65536, (16, 20, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", byteorder=order, compression=compression)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif").rgb, np.rint(deep / 257).astype(np.uint8))


def test_float_tiff_by_its_range() -> None:
    values = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
    picture = read_picture(saved(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(picture.rgb[:, :, 2], np.rint(values * 255).astype(np.uint8))
    with pytest.raises(ImageError, match="grey values from"):
        read_picture(saved(Image.fromarray(values - 5), "TIFF"))


def test_of_several_pages_or_frames_the_first() -> None:
    other = Image.new("RGB", IMAGE.size, "red")
    for format in ("TIFF", "GIF", "WEBP"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = saved(IMAGE, format, save_all=True, append_images=[other], **options)
        assert np.abs(read_picture(data).rgb.astype(int) - RGB).mean() < 12, format


def test_cmyk_becomes_rgb_and_loses_its_profile() -> None:
    cmyk = IMAGE.convert("CMYK")
    for format in ("JPEG", "TIFF"):
        picture = read_picture(saved(cmyk, format, icc_profile=b"\0" * 16 + b"CMYK" + b"\0" * 200))
        assert np.abs(picture.rgb.astype(int) - RGB).mean() < 4, format
        assert picture.icc_profile is None


def test_lab_becomes_srgb() -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(IMAGE, to_lab)
    assert lab is not None
    assert np.abs(read_picture(saved(lab, "TIFF")).rgb.astype(int) - RGB).mean() < 3


def test_an_rgb_profile_is_kept_where_it_describes_the_pixels() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read_picture(saved(IMAGE, "JPEG", icc_profile=profile)).icc_profile == profile
    assert read_picture(saved(GREY, "PNG", icc_profile=profile)).icc_profile is None
    wrong = profile[:16] + b"CMYK" + profile[20:]
    assert read_picture(saved(IMAGE, "PNG", icc_profile=wrong)).icc_profile is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_every_orientation_ends_upright(orientation: int, format: str) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Transpose that stores the upright picture so turned
    stored = IMAGE.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else IMAGE
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Artist] = "somebody"
    options = {"lossless": True} if format == "WEBP" else {}
    picture = read_picture(saved(stored, format, exif=exif.tobytes(), **options))
    assert picture.rgb.shape == RGB.shape
    assert np.abs(picture.rgb.astype(int) - RGB).mean() <= (LOSSY if format == "JPEG" else 0)
    assert picture.exif is not None
    kept = Image.Exif()
    kept.load(picture.exif)
    assert kept[ExifTags.Base.Orientation] == 1


def test_metadata_that_still_holds_is_kept_and_the_rest_is_not() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Copyright] = "(c) somebody"
    exif[ExifTags.Base.ImageWidth] = 9
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] = "a lens"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = b"private offsets"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    data = read_picture(saved(IMAGE, "JPEG", exif=exif.tobytes())).exif
    assert data is not None
    assert b"private" not in data
    kept = Image.Exif()
    kept.load(data)
    assert kept[ExifTags.Base.Copyright] == "(c) somebody"
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] == "a lens"
    assert not kept.get_ifd(ExifTags.IFD.GPSInfo)
    assert ExifTags.Base.ImageWidth not in kept


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_exif_that_is_damaged_or_empty_is_left_out() -> None:
    assert read_picture(saved(IMAGE, "JPEG", exif=b"Exif\0\0MM\0*garbage")).exif is None
    assert read_picture(saved(IMAGE, "JPEG")).exif is None


def test_heic_is_read_where_the_extra_is_installed() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    data = _heic(pillow_heif)
    picture = read_picture(data)
    assert picture.rgb.shape == RGB.shape
    assert np.abs(picture.rgb.astype(int) - RGB).mean() < LOSSY
    with pytest.raises(ImageError, match="at most 100 pixels"):
        read_picture(data, max_pixels=100)


def test_heic_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "pillow_heif.as_plugin", None)
    head = struct.pack(">I", 24) + b"ftypheic" + b"\0\0\0\0" + b"mif1heic"
    with pytest.raises(MissingDependencyError, match="pip install 'pillow-heif'"):
        read_picture(head + b"\0" * 100)


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("not a picture at all")
    (tmp_path / "cut.jpg").write_bytes(saved(IMAGE, "JPEG")[:-400])
    (tmp_path / "cut.png").write_bytes(saved(IMAGE, "PNG")[:-60])
    cases = {
        "empty.png": "an empty file",
        "text.jpg": "something else",
        "cut.jpg": "broken or truncated data",
        "cut.png": "broken or truncated data",
        "missing.png": "no such file",
        ".": "a folder",
    }
    for name, words in cases.items():
        with pytest.raises(ImageError, match=words) as caught:
            read_picture(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(ImageError, match="check the path"):
        read_picture(Path("a\0b.png"))


def test_no_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(saved(IMAGE, "PNG"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match="no permission"):
        read_picture(path)


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    os = pytest.importorskip("os")
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="no regular file"):
        read_picture(tmp_path / "pipe")


def test_the_pixel_limit_is_checked_before_decoding() -> None:
    with pytest.raises(ImageError, match=r"at most 2,399 pixels; found 60 × 40 = 2,400 pixels.*--max-pixels"):
        read_picture(saved(IMAGE, "PNG"), max_pixels=2399)
    assert read_picture(saved(IMAGE, "PNG"), max_pixels=2400).width == 60


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_a_bomb_is_refused_fast_and_without_warnings(side: int) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    )
    assert side * side > DEFAULT_MAX_PIXELS
    limit_before = Image.MAX_IMAGE_PIXELS
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="--max-pixels"):
            read_picture(bomb)
    assert time.perf_counter() - started < 1
    assert limit_before == Image.MAX_IMAGE_PIXELS


def test_postscript_and_other_formats_never_reach_their_plugins() -> None:
    with pytest.raises(ImageError, match="something else"):
        read_picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "tiff lzw", "gif", "bmp", "avif", "exif", "heic"])
def test_corrupted_pictures_are_read_or_refused_never_worse(name: str) -> None:
    data = _exif_jpeg() if name == "exif" else None
    if name == "heic":
        data = _heic(pytest.importorskip("pillow_heif"))
    elif data is None:
        if name not in FORMATS:
            pytest.skip("this Pillow has no such codec")
        data = FORMATS[name][0]
    chance = random.Random(name)
    refused = 0
    for _ in range(30):
        try:
            picture = read_picture(_corrupted(data, chance), max_pixels=1_000_000)
        except ImageError:
            refused += 1
        else:
            assert picture.rgb.ndim == 3
            assert picture.rgb.size
    assert refused, "no corruption was noticed at all"


def _corrupted(data: bytes, chance: random.Random) -> bytes:
    """The bytes cut off, overwritten, or with a piece left out or doubled."""
    broken = bytearray(data)
    kind = chance.randrange(4)
    start = chance.randrange(len(broken))
    stop = min(len(broken), start + chance.randrange(1, 40))
    if kind == 0:
        del broken[start:]
    elif kind == 1:
        for _ in range(chance.randrange(1, 12)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
    elif kind == 2:
        del broken[start:stop]
    else:
        broken[start:start] = broken[start:stop]
    return bytes(broken)


def _exif_jpeg() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Copyright] = "(c) somebody" * 20
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.LensModel] = "a lens"
    return saved(Image.new("RGB", (8, 8)), "JPEG", exif=exif.tobytes())


def _heic(pillow_heif: object) -> bytes:
    heif = pillow_heif.from_pillow(IMAGE)  # type: ignore[attr-defined]
    buffer = io.BytesIO()
    heif.save(buffer, quality=95)
    return buffer.getvalue()
