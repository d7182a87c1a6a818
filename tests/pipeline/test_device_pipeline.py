"""On a DeviceEngine 8-bit pictures go in and masks come out: the same files as on any other engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_engine import write_photo

from u2forge.errors import EngineError, InputError
from u2forge.pipeline.background import Background
from u2forge.pipeline.folder import FolderOptions, segment_folder
from u2forge.pipeline.inputs import collect_inputs
from u2forge.pipeline.picture import Picture
from u2forge.pipeline.picture_report import STAGES, PictureReport
from u2forge.pipeline.render_options import RenderOptions
from u2forge.pipeline.segmenter import Segmenter
from u2forge.profiles import POST_PROFILES, PRE_PROFILES, PostProfile, PreProfile

torch = pytest.importorskip("torch")

from torch_engine import (  # noqa: E402 (it imports PyTorch)
    HEIGHT,
    WIDTH,
    TorchDeviceEngine,
    TorchEngine,
    pixels_to_map,
    planes_to_map,
    segmenter_on,
)

pytestmark = pytest.mark.needs_torch

# (width, height): as the network, smaller, larger, thin, one pixel.
SIZES = [
    (WIDTH, HEIGHT),
    (40, 30),
    (9, 70),
    (150, 8),
    (1, 1),
    (33, 200),
    (120, 90),
    (40, 30),
    (64, 64),
    (5, 5),
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for index, size in enumerate(SIZES):
        write_photo(tmp_path / "photos" / f"{index:03d}.png", seed=index, size=size)
    return tmp_path / "photos"


def finished(
    segmenter: Segmenter,
    photos: Path,
    out: Path,
    render: RenderOptions | None = None,
    options: FolderOptions | None = None,
) -> list[PictureReport]:
    chosen = options or FolderOptions(workers=2)
    with (
        segmenter,
        segment_folder(segmenter, collect_inputs([photos]), out, render=render, options=chosen) as run,
    ):
        return list(run)


def same_files(one: Path, other: Path) -> int:
    """How many results there are; each must be the same in both folders."""
    names = sorted(path.name for path in one.iterdir() if not path.name.startswith("."))
    assert names == sorted(path.name for path in other.iterdir() if not path.name.startswith("."))
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    return len(names)


@pytest.mark.parametrize(("batch_size", "chosen"), [(1, None), (4, None), (None, 3)])
@pytest.mark.parametrize("pre", ["official", "rembg"])
def test_a_folder_of_mixed_sizes(
    photos: Path, tmp_path: Path, batch_size: int | None, chosen: int | None, pre: PreProfile
) -> None:
    options = FolderOptions(workers=2, batch_size=chosen)
    finished(
        segmenter_on(TorchEngine(batch_size=batch_size), pre=pre), photos, tmp_path / "host", options=options
    )
    engine = TorchDeviceEngine(batch_size=batch_size)
    reports = finished(segmenter_on(engine, pre=pre), photos, tmp_path / "device", options=options)
    assert same_files(tmp_path / "host", tmp_path / "device") == len(SIZES)
    assert all(set(report.stage_ms) == set(STAGES) for report in reports)
    size = batch_size or chosen or 1
    # A picture each, none to fill a batch up, and the tables.
    assert sorted(len(upload) - 1 for upload in engine.uploads) == sorted(
        min(size, len(SIZES) - start) for start in range(0, len(SIZES), size)
    )
    assert {dtype for *pictures, _ in engine.uploads for dtype, _ in pictures} == {"uint8"}


@pytest.mark.parametrize(
    "render",
    [
        RenderOptions("cutout"),
        RenderOptions("composite", "jpeg", background=Background(colour=(0, 255, 0))),
        RenderOptions("probability"),
        RenderOptions("probability", "tiff"),
    ],
)
def test_each_kind_of_result(photos: Path, tmp_path: Path, render: RenderOptions) -> None:
    finished(segmenter_on(TorchEngine()), photos, tmp_path / "host", render)
    finished(segmenter_on(TorchDeviceEngine()), photos, tmp_path / "device", render)
    assert same_files(tmp_path / "host", tmp_path / "device") == len(SIZES)


@pytest.mark.parametrize("post", POST_PROFILES)
@pytest.mark.parametrize("pre", PRE_PROFILES)
def test_each_profile(pre: PreProfile, post: PostProfile) -> None:
    pictures = [picture(seed, *size) for seed, size in enumerate(SIZES)]
    host = segmenter_on(TorchEngine(batch_size=4), pre=pre, post=post).segment_batch(pictures)
    device = segmenter_on(TorchDeviceEngine(batch_size=4), pre=pre, post=post).segment_batch(pictures)
    for one, other in zip(host, device, strict=True):
        assert one.mask.shape == other.mask.shape
        # `antialias` sums in another order: a map's last bits, and a mask's level where it lay on an edge.
        close = pre == "antialias" and post != "threshold"
        np.testing.assert_allclose(other.probability, one.probability, atol=1e-5 if pre == "antialias" else 0)
        np.testing.assert_allclose(other.mask.astype(int), one.mask, atol=1 if close else 0)
        assert list(other.stage_ms) == ["preprocess", "inference", "postprocess"]


def test_embedded_preprocessing(photos: Path, tmp_path: Path) -> None:
    for kind, name in ((TorchEngine, "host"), (TorchDeviceEngine, "device")):
        engine = kind(pixels_to_map, batch_size=4, embedded=True)
        finished(segmenter_on(engine), photos, tmp_path / name)
    assert same_files(tmp_path / "host", tmp_path / "device") == len(SIZES)


def test_a_broken_picture_in_the_middle_is_one_failure(photos: Path, tmp_path: Path) -> None:
    (photos / "004.png").write_bytes((photos / "003.png").read_bytes()[:60])
    finished(segmenter_on(TorchEngine(batch_size=4)), photos, tmp_path / "host")
    reports = finished(segmenter_on(TorchDeviceEngine(batch_size=4)), photos, tmp_path / "device")
    assert [report.input.name for report in reports if report.status == "failed"] == ["004.png"]
    assert same_files(tmp_path / "host", tmp_path / "device") == len(SIZES) - 1


def test_a_map_of_another_size_ends_the_run(photos: Path, tmp_path: Path) -> None:
    engine = TorchDeviceEngine(lambda image: planes_to_map(image)[:, :, :-1], batch_size=4)
    expected = (
        rf"'d0': expected float32 \(at least 4, 1, {HEIGHT}, {WIDTH}\); found torch.float32 \(4, 1, 23, 32\)"
    )
    with pytest.raises(EngineError, match=expected):
        finished(segmenter_on(engine), photos, tmp_path / "out")
    assert list((tmp_path / "out").glob("*.png")) == []


def test_a_device_that_fails_after_the_network_ends_the_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from u2forge.pipeline.device_postprocess import DevicePostprocess

    real_masks, made = DevicePostprocess.masks, []

    def masks(self: DevicePostprocess, *tensors: torch.Tensor) -> torch.Tensor:
        made.append(0)
        if len(made) > 3:
            raise RuntimeError("out of device memory")
        return real_masks(self, *tensors)

    monkeypatch.setattr(DevicePostprocess, "masks", masks)
    with pytest.raises(EngineError, match=r"'torch-double' on CPU.*out of device memory"):
        finished(segmenter_on(TorchDeviceEngine()), photos, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


def test_numbers_that_are_no_probabilities_fail_their_picture(photos: Path, tmp_path: Path) -> None:
    batches = []

    def network(image: torch.Tensor) -> torch.Tensor:
        batches.append(0)
        return planes_to_map(image) * (float("nan") if len(batches) == 3 else 1.0)

    reports = finished(segmenter_on(TorchDeviceEngine(network)), photos, tmp_path / "out")
    (failed,) = [report for report in reports if report.status == "failed"]
    assert "768 of 768 values are NaN" in str(failed.reason)


def test_half_precision_outputs_come_back_as_float32() -> None:
    engine = TorchDeviceEngine(lambda image: planes_to_map(image).half())
    result = segmenter_on(engine).segment(picture(1, 40, 30))
    assert result.probability.dtype == np.float32
    assert result.mask.shape == (30, 40)


def test_what_waits_for_the_device_keeps_to_the_budget_of_pixels(tmp_path: Path) -> None:
    for index in range(12):
        write_photo(tmp_path / "photos" / f"{index:03d}.png", seed=index, size=(40, 30))
    write_photo(tmp_path / "photos" / "large.png", size=(90, 60))
    engine = TorchDeviceEngine(batch_size=None)
    options = FolderOptions(workers=2, batch_size=8, pixels_in_flight=3 * 40 * 30)
    reports = finished(segmenter_on(engine), tmp_path / "photos", tmp_path / "out", options=options)
    assert [report.status for report in reports] == ["done"] * 13
    # Three small pictures, or the large one by itself.
    assert engine.most_pixels == 90 * 60
    assert max(len(upload) - 1 for upload in engine.uploads) <= 3


def test_the_networks_own_way_is_the_same_on_both() -> None:
    """What eval, perf and calibration go: the network's input made by the host, one for all engines."""
    photo = picture(2, 50, 40)
    host, device = segmenter_on(TorchEngine()), segmenter_on(TorchDeviceEngine())
    np.testing.assert_array_equal(host.prepare(photo), device.prepare(photo))
    maps = device.maps(device.submit([device.prepare(photo)]).result(), count=1)
    np.testing.assert_array_equal(maps[0], device.segment(photo).probability)


def test_pixels_of_another_kind_are_refused() -> None:
    grey = Picture(np.zeros((8, 8), np.uint8), alpha=None, icc_profile=None, exif=None, source="grey")
    with pytest.raises(InputError, match=r"expected uint8 \(H, W, 3\).*found uint8 \(8, 8\)"):
        segmenter_on(TorchDeviceEngine()).segment(grey)


def picture(seed: int, width: int, height: int) -> Picture:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Picture(pixels, alpha=None, icc_profile=None, exif=None, source=str(seed))
