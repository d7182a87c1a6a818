"""A folder through the pipeline: overlap, bounds, bad pictures, a full disk, leaving early."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_engine import FakeEngine, fake_manifest, fake_segmenter, write_photo, write_photos
from PIL import Image

from u2forge.atomic_file import TEMPORARY_SUFFIX
from u2forge.errors import EngineError, InputError, OutputError
from u2forge.pipeline import picture_flow, picture_stages
from u2forge.pipeline.background import Background
from u2forge.pipeline.folder import FolderOptions, FolderRun, segment_folder
from u2forge.pipeline.inputs import collect_inputs
from u2forge.pipeline.picture_report import STAGES, PictureReport
from u2forge.pipeline.pixel_budget import PixelBudget, pixels_of
from u2forge.pipeline.read_picture import read_picture
from u2forge.pipeline.render_options import RenderOptions
from u2forge.pipeline.segmenter import Segmenter

WAIT_S = 20.0


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_run() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("u2forge")] == []


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", 10)
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def started(
    photos: Path,
    out: Path,
    engine: FakeEngine | None = None,
    render: RenderOptions | None = None,
    **options: Any,
) -> FolderRun:
    chosen = FolderOptions(**{"workers": 2, **options})
    return segment_folder(
        fake_segmenter(engine), collect_inputs([photos]), out, render=render, options=chosen
    )


def finished(*args: Any, **options: Any) -> list[PictureReport]:
    with started(*args, **options) as run:
        return list(run)


def leftovers(out: Path) -> list[Path]:
    return [path for path in out.rglob("*") if path.name.endswith(TEMPORARY_SUFFIX)]


def test_every_picture_gets_its_mask_and_report(photos: Path, out: Path) -> None:
    segmenter = fake_segmenter()
    with segment_folder(segmenter, collect_inputs([photos]), out) as run:
        assert run.total == 10
        reports = list(run)
    assert {report.status for report in reports} == {"done"}
    assert sorted(report.input for report in reports) == sorted(photos.iterdir())
    for report in reports:
        expected = segmenter.segment(read_picture(report.input)).mask
        np.testing.assert_array_equal(np.asarray(Image.open(report.output)), expected)
        assert (report.width, report.height) == (40, 30)
        assert set(report.stage_ms) == set(STAGES)
    assert (run.summary.done, run.summary.failed, run.summary.skipped) == (10, 0, 0)
    assert run.summary.pictures_per_second > 0
    assert run.summary.stage_ms["decode"] == pytest.approx(
        sum(report.stage_ms["decode"] for report in reports)
    )
    assert leftovers(out) == []


@pytest.mark.parametrize("batch_size", [2, 4, 7])
def test_static_batches_give_the_same_masks(photos: Path, tmp_path: Path, batch_size: int) -> None:
    finished(photos, tmp_path / "alone")
    engine = FakeEngine(batch_size=batch_size)
    finished(photos, tmp_path / "batched", engine)
    assert len(engine.batches) == -(-10 // batch_size)
    for path in (tmp_path / "alone").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "batched" / path.name).read_bytes()


def test_dynamic_batches_are_not_filled_up(photos: Path, out: Path) -> None:
    engine = FakeEngine(batch_size=None)
    finished(photos, out, engine, batch_size=4)
    assert sorted(len(batch) for batch in engine.batches) == [2, 4, 4]


def test_the_next_picture_is_decoded_while_the_engine_works(
    photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = threading.Semaphore(0)
    real_load = picture_stages.load

    def load(*args: Any, **kwargs: Any) -> None:
        real_load(*args, **kwargs)
        decoded.release()

    monkeypatch.setattr(picture_flow, "load", load)
    overlapped = []

    def before(batch: object) -> None:
        # Its own picture, and two more: they can only come while this inference waits here.
        if not overlapped:
            overlapped.append(all(decoded.acquire(timeout=WAIT_S) for _ in range(3)))

    finished(photos, out, FakeEngine(before=before))
    assert overlapped == [True]


def test_a_result_is_written_while_the_engine_works(photos: Path, out: Path) -> None:
    calls = []
    waited = []

    def before(batch: object) -> None:
        calls.append(0)
        if len(calls) == 3:
            deadline = threading.Event()
            for _ in range(int(WAIT_S * 100)):
                if list(out.glob("*.png")):
                    break
                deadline.wait(0.01)
            waited.append(len(list(out.glob("*.png"))))

    finished(photos, out, FakeEngine(before=before))
    assert waited
    assert waited[0] >= 1


@pytest.mark.parametrize("streams", [1, 3])
def test_the_engine_is_kept_fed_and_not_flooded(photos: Path, out: Path, streams: int) -> None:
    engine = FakeEngine(streams=streams, delay_s=0.005)
    finished(photos, out, engine)
    assert 2 <= engine.most_submitted <= streams + 1


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 1), (3, 1), (2, 4)])
def test_pictures_in_flight_are_bounded_while_the_reader_sleeps(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, workers: int, batch_size: int
) -> None:
    write_photos(tmp_path / "photos", 60)
    loads = []
    real_load = picture_stages.load
    monkeypatch.setattr(picture_flow, "load", lambda *a, **k: (loads.append(0), real_load(*a, **k))[1])
    engine = FakeEngine(batch_size=batch_size)
    with started(tmp_path / "photos", out, engine, workers=workers) as run:
        limit = run._flow.most_in_flight
        assert limit < 30
        most = 0
        for reported, _ in enumerate(run):
            most = max(most, len(loads) - reported)
    assert 1 < most <= limit + 1
    assert len(loads) == 60


def test_pixels_in_flight_are_bounded_and_a_larger_picture_passes(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(12):
        size = (300, 300) if index == 5 else (100, 100)
        write_photo(tmp_path / "photos" / f"{index:02d}.png", size=size)
    used = []
    real_take = PixelBudget.take

    def take(self: PixelBudget, pixels: int) -> bool:
        taken = real_take(self, pixels)
        used.append(self._used)
        return taken

    monkeypatch.setattr(PixelBudget, "take", take)
    reports = finished(tmp_path / "photos", out, FakeEngine(batch_size=4), pixels_in_flight=25_000)
    assert len(reports) == 12
    assert {report.status for report in reports} == {"done"}
    assert set(used) <= {10_000, 20_000, 90_000}


def test_bad_pictures_are_reported_and_the_rest_is_done(photos: Path, out: Path) -> None:
    (photos / "003.png").write_bytes((photos / "003.png").read_bytes()[:300])
    (photos / "005.png").write_bytes(b"")
    (photos / "007.png").write_bytes(b"not a picture at all")
    with started(photos, out, FakeEngine(batch_size=4)) as run:
        reports = list(run)
    failed = {report.input.name: report for report in reports if report.status == "failed"}
    assert sorted(failed) == ["003.png", "005.png", "007.png"]
    assert all(name in str(report.reason) for name, report in failed.items())
    assert len(list(out.glob("*.png"))) == 7
    assert (run.summary.done, run.summary.failed) == (7, 3)


def test_a_folder_of_bad_pictures_only_ends(tmp_path: Path, out: Path) -> None:
    for index in range(30):
        path = tmp_path / "photos" / f"{index}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff\xe0 broken")
    engine = FakeEngine()
    reports = finished(tmp_path / "photos", out, engine)
    assert [report.status for report in reports] == ["failed"] * 30
    assert engine.batches == []


def test_no_picture_at_all_is_an_empty_run(out: Path) -> None:
    with segment_folder(fake_segmenter(), [], out) as run:
        assert list(run) == []
    assert run.summary.total == 0
    assert run.summary.pictures_per_second == 0


def test_an_unexpected_error_is_one_pictures_failure(
    photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_load = picture_stages.load

    def load(flight: picture_stages.PictureInFlight, *args: Any, **kwargs: Any) -> None:
        if flight.input.name == "004.png":
            raise ZeroDivisionError("surprise")
        real_load(flight, *args, **kwargs)

    monkeypatch.setattr(picture_flow, "load", load)
    (report,) = [report for report in finished(photos, out) if report.status == "failed"]
    assert report.reason == "ZeroDivisionError: surprise"


def test_a_picture_over_the_limit_fails_alone(photos: Path, out: Path) -> None:
    write_photo(photos / "large.png", size=(200, 200))
    reports = {report.input.name: report for report in finished(photos, out, max_pixels=2000)}
    assert reports["large.png"].status == "failed"
    assert "40,000" in str(reports["large.png"].reason)
    assert sum(report.status == "done" for report in reports.values()) == 10


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_closed_disk_ends_the_run_early(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    write_photos(tmp_path / "photos", 80)
    writes = []
    real_write_bytes = Path.write_bytes

    def write_bytes(self: Path, data: bytes) -> int:
        if self.name.endswith(TEMPORARY_SUFFIX) and ".json" not in self.name:
            writes.append(self)
            if len(writes) > 5:
                real_write_bytes(self, data[:10])
                raise OSError(code, "simulated")
        return real_write_bytes(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with started(tmp_path / "photos", out) as run, pytest.raises(OutputError, match=r"writing .*simulated"):
        list(run)
    assert run.summary.done == 5
    assert len(writes) < 20
    assert len(list(out.glob("*.png"))) == 5
    assert leftovers(out) == []
    monkeypatch.undo()
    reports = finished(tmp_path / "photos", out, existing="resume")
    assert sum(report.status == "done" for report in reports) == 75


def test_a_result_that_cannot_have_its_name_is_one_failure(photos: Path, out: Path) -> None:
    (out / "004.png").mkdir(parents=True)
    with started(photos, out, existing="replace") as run:
        reports = list(run)
    assert [report.input.name for report in reports if report.status == "failed"] == ["004.png"]
    assert run.summary.done == 9


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_engine_failure_ends_the_run(tmp_path: Path, out: Path, batch_size: int) -> None:
    write_photos(tmp_path / "photos", 40)
    calls = []

    def before(batch: object) -> None:
        calls.append(0)
        if len(calls) >= 3:
            raise RuntimeError("out of device memory")

    engine = FakeEngine(batch_size=batch_size, before=before)
    with (
        started(tmp_path / "photos", out, engine) as run,
        pytest.raises(EngineError, match=r"'fake' on CPU.*RuntimeError: out of device memory"),
    ):
        list(run)
    assert run.summary.done == 2 * batch_size
    assert len(calls) <= 4


def test_a_picture_that_waits_for_memory_when_the_engine_fails_is_let_go(photos: Path, out: Path) -> None:
    failing = threading.Event()

    def before(batch: object) -> None:
        # The next picture is told to wait meanwhile: one fills the whole budget.
        failing.wait(0.1)
        raise RuntimeError("broken")

    with (
        started(photos, out, FakeEngine(before=before), workers=3, pixels_in_flight=1200) as run,
        pytest.raises(EngineError, match="broken"),
    ):
        list(run)
    assert run.summary.total == 0


def test_a_refused_submission_ends_the_run(photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    segmenter = fake_segmenter(engine)
    monkeypatch.setattr(engine, "submit", lambda inputs: (_ for _ in ()).throw(ValueError("no")))
    with (
        segment_folder(segmenter, collect_inputs([photos]), out) as run,
        pytest.raises(EngineError, match="ValueError: no"),
    ):
        list(run)


def test_numbers_that_are_no_probabilities_fail_their_picture(photos: Path, out: Path) -> None:
    def before(batch: np.ndarray[Any, Any]) -> None:
        if len(engine.batches) == 2:
            batch[:] = np.nan

    engine = FakeEngine(before=before)
    reports = finished(photos, out, engine)
    (failed,) = [report for report in reports if report.status == "failed"]
    assert "NaN" in str(failed.reason)


def test_leaving_early_waits_leaves_whole_files_and_frees_the_folder(photos: Path, out: Path) -> None:
    with started(photos, out) as run:
        for _ in run:
            break
    written = list(out.glob("*.png"))
    assert 1 <= len(written) < 10
    for path in written:
        Image.open(path).load()
    assert leftovers(out) == []
    reports = finished(photos, out, existing="resume")
    assert {report.input.name for report in reports if report.status == "skipped"} == {
        path.name for path in written
    }
    assert len(reports) == 10


def test_a_run_that_is_never_read_frees_the_folder(photos: Path, out: Path) -> None:
    started(photos, out).close()
    assert len(finished(photos, out)) == 10


def test_an_exception_of_the_reader_ends_the_run(photos: Path, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt), started(photos, out, FakeEngine(delay_s=0.01)) as run:
        for _ in run:
            raise KeyboardInterrupt
    assert leftovers(out) == []


def test_resume_does_nothing_twice(photos: Path, out: Path) -> None:
    finished(photos, out)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    engine = FakeEngine()
    reports = finished(photos, out, engine, existing="resume")
    assert {report.status for report in reports} == {"skipped"}
    assert engine.batches == []
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.png")} == before


def test_same_names_give_results_of_their_own(tmp_path: Path, out: Path) -> None:
    for index, name in enumerate(("one/a.png", "one/a.jpg", "two/a.png", "two/a.JPG", "two/A.bmp")):
        write_photo(tmp_path / "photos" / name, seed=index)
    reports = finished(tmp_path / "photos", out)
    assert {report.status for report in reports} == {"done"}
    assert len({report.output for report in reports}) == 5
    assert len(list(out.rglob("*.png"))) == 5


@pytest.mark.parametrize(
    ("render", "suffix", "mode"),
    [
        (RenderOptions("mask"), ".png", "L"),
        (RenderOptions("mask", "webp"), ".webp", "RGB"),
        (RenderOptions("mask", "jpeg", quality=80), ".jpg", "L"),
        (RenderOptions("cutout"), ".png", "RGBA"),
        (RenderOptions("cutout", "webp"), ".webp", "RGBA"),
        (RenderOptions("composite", "jpeg", background=Background(colour=(0, 255, 0))), ".jpg", "RGB"),
        (RenderOptions("probability"), ".png", "I;16"),
        (RenderOptions("probability", "tiff"), ".tiff", "F"),
    ],
)
def test_each_kind_of_result(photos: Path, out: Path, render: RenderOptions, suffix: str, mode: str) -> None:
    reports = finished(photos, out, render=render)
    assert len(reports) == 10
    for report in reports:
        assert report.status == "done"
        assert report.output.suffix == suffix
        with Image.open(report.output) as image:
            assert image.mode == mode
            assert image.size == (40, 30)


def test_a_probability_map_is_not_stretched(photos: Path, out: Path) -> None:
    finished(photos, out, render=RenderOptions("probability", "tiff"))
    segmenter = fake_segmenter()
    result = segmenter.segment(read_picture(photos / "000.png"))
    values = np.asarray(Image.open(out / "000.tiff"))
    assert values.max() <= 1
    assert values.mean() == pytest.approx(result.probability.mean(), abs=0.02)


def test_one_picture_into_one_file(photos: Path, tmp_path: Path) -> None:
    inputs = collect_inputs([photos / "000.png"])
    with segment_folder(fake_segmenter(), inputs, tmp_path / "mask.png") as run:
        (report,) = run
    assert report.output == tmp_path / "mask.png"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.png", "photos"]


def test_a_batch_size_other_than_the_models_is_refused(photos: Path, out: Path) -> None:
    with pytest.raises(InputError, match=r"'batch_size'.*4, which the model was built for; found 2"):
        started(photos, out, FakeEngine(batch_size=4), batch_size=2)
    assert not out.exists()


@pytest.mark.parametrize("name", ["workers", "batch_size", "max_pixels", "pixels_in_flight"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}': expected at least 1; found 0"):
        FolderOptions(**{name: 0})


def test_the_inference_time_leaves_the_waiting_out(photos: Path, out: Path) -> None:
    engine = FakeEngine(delay_s=0.02)
    reports = finished(photos, out, engine)
    mean_ms = sum(report.stage_ms["inference"] for report in reports) / len(reports)
    # Twice as much, were the time in the queue counted too.
    assert 20 <= mean_ms < 36


def test_pixels_of_what_will_not_be_decoded_is_a_guess(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert pixels_of(photos / "000.png", max_pixels=2000) == 1200
    assert pixels_of(photos / "000.png", max_pixels=1000) == 1_000_000
    assert pixels_of(tmp_path / "broken.png", max_pixels=2000) == 1_000_000
    assert pixels_of(tmp_path / "none.png", max_pixels=2000) == 1_000_000


def test_reports_and_summary_are_plain_values(photos: Path, out: Path) -> None:
    with started(photos, out) as run:
        report = [each.as_dict() for each in run][-1]
    assert report["status"] == "done"
    assert set(report) == {"input", "output", "status", "reason", "width", "height", "stage_ms"}
    summary = run.summary.as_dict()
    assert (summary["done"], summary["total"], summary["engine"]) == (10, 10, "fake")
    assert str(run.summary).startswith("10 done in ")
    assert "fake 1 on CPU (no processor), float32" in str(run.summary)


def test_the_manifest_of_embedded_preprocessing_is_obeyed(photos: Path, out: Path) -> None:
    engine = FakeEngine(embedded=True)
    segmenter = Segmenter(engine, fake_manifest(engine))
    with segment_folder(segmenter, collect_inputs([photos]), out) as run:
        assert {report.status for report in run} == {"done"}
    assert {batch.dtype for batch in engine.batches} == {np.dtype(np.uint8)}
