"""What a run finds in its output folder: other runs, their records, results and leftovers."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from fake_engine import FakeEngine, fake_manifest, fake_segmenter, write_photos

from u2forge.atomic_file import TEMPORARY_SUFFIX
from u2forge.errors import InputError, OutputError
from u2forge.leftovers import remove_leftovers
from u2forge.pipeline.background import Background
from u2forge.pipeline.existing_results import is_finished
from u2forge.pipeline.folder_job import FolderJob, open_job
from u2forge.pipeline.inputs import collect_inputs
from u2forge.pipeline.job_record import ExistingPolicy, JobLock, job_options
from u2forge.pipeline.render_options import RenderOptions
from u2forge.pipeline.segmenter import Segmenter
from u2forge.pipeline.walk_folder import RECORD_NAME

OPTIONS = {"output": "mask", "format": "png"}


def opened(photos: Path, out: Path, existing: ExistingPolicy, options: dict[str, str] = OPTIONS) -> FolderJob:
    """A job whose lock is let go at once."""
    job = open_job(collect_inputs([photos]), out, suffix=".png", existing=existing, options=options)
    if job.lock is not None:
        job.lock.release()
    return job


def names(pictures: list[tuple[Path, Path]]) -> list[str]:
    return [source.name for source, _ in pictures]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", 4)
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_a_new_job_does_everything_and_leaves_a_record(photos: Path, out: Path) -> None:
    job = opened(photos, out, "refuse")
    assert len(job.to_do) == 4
    assert json.loads((out / RECORD_NAME).read_text())["options"] == OPTIONS


def test_results_that_are_there_are_refused_with_their_number(photos: Path, out: Path) -> None:
    opened(photos, out, "refuse")
    (out / "001.png").touch()
    (out / "002.png").touch()
    with pytest.raises(OutputError, match=r"2 of 4 results there already.*--resume.*--existing replace"):
        opened(photos, out, "refuse")
    assert len(opened(photos, out, "replace").to_do) == 4


def test_resume_skips_what_is_finished(photos: Path, out: Path) -> None:
    opened(photos, out, "refuse")
    (out / "001.png").touch()
    job = opened(photos, out, "resume")
    assert names(job.finished) == ["001.png"]
    assert names(job.to_do) == ["000.png", "002.png", "003.png"]


def test_resume_begins_where_nothing_is(photos: Path, out: Path) -> None:
    assert len(opened(photos, out, "resume").to_do) == 4


def test_resume_redoes_a_picture_that_changed_since(photos: Path, out: Path) -> None:
    opened(photos, out, "refuse")
    for name in ("000.png", "001.png"):
        (out / name).touch()
    written_s = (out / "001.png").stat().st_mtime
    time.sleep(0.02)
    (photos / "001.png").touch()
    assert (photos / "001.png").stat().st_mtime > written_s
    assert names(opened(photos, out, "resume").finished) == ["000.png"]


def test_a_photo_from_the_future_is_not_done_for_ever(photos: Path, out: Path) -> None:
    opened(photos, out, "refuse")
    (out / "000.png").touch()
    tomorrow = time.time() + 86400
    os.utime(photos / "000.png", (tomorrow, tomorrow))
    assert names(opened(photos, out, "resume").finished) == ["000.png"]


def test_results_older_than_a_replacing_job_are_not_taken_for_its_own(photos: Path, out: Path) -> None:
    opened(photos, out, "refuse")
    for name in ("000.png", "001.png"):
        (out / name).touch()
        os.utime(out / name, (1, 1))
    opened(photos, out, "replace")
    (out / "001.png").touch()
    assert names(opened(photos, out, "resume").finished) == ["001.png"]


def test_resume_refuses_other_options_and_names_them(photos: Path, out: Path) -> None:
    opened(photos, out, "refuse")
    with pytest.raises(InputError, match="made with format webp; found results made with format png"):
        opened(photos, out, "resume", {"output": "mask", "format": "webp"})
    assert json.loads((out / RECORD_NAME).read_text())["options"] == OPTIONS


def test_resume_refuses_results_of_unknown_origin(photos: Path, out: Path) -> None:
    out.mkdir()
    (out / "000.png").touch()
    with pytest.raises(InputError, match="1 of 4 results and no record"):
        opened(photos, out, "resume")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"options": 3, "version": 1}'])
def test_resume_refuses_a_broken_record(photos: Path, out: Path, text: str) -> None:
    out.mkdir()
    (out / RECORD_NAME).write_text(text)
    with pytest.raises(InputError, match="broken"):
        opened(photos, out, "resume")


def test_resume_refuses_a_record_of_another_version(photos: Path, out: Path) -> None:
    out.mkdir()
    (out / RECORD_NAME).write_text('{"version": 9, "options": {}}')
    with pytest.raises(InputError, match="version 1; found version 9"):
        opened(photos, out, "resume")


def test_leftovers_of_dead_runs_are_removed_and_those_of_live_ones_stay(photos: Path, out: Path) -> None:
    dead, live, other = (
        out / "sub" / f".a.png.{2**22 + 7}-ab{TEMPORARY_SUFFIX}",
        out / "sub" / f".b.png.{os.getppid()}-ab{TEMPORARY_SUFFIX}",
        out / "sub" / ".c.png",
    )
    for path in (dead, live, other):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert remove_leftovers([out, out / "sub", out / "none"]) == 1
    assert [path.exists() for path in (dead, live, other)] == [False, True, True]


def test_every_start_removes_leftovers(photos: Path, out: Path) -> None:
    out.mkdir()
    leftover = out / f".000.png.{2**22 + 7}-ab{TEMPORARY_SUFFIX}"
    leftover.touch()
    opened(photos, out, "resume")
    assert not leftover.exists()


def test_a_second_run_into_the_folder_is_refused(photos: Path, out: Path) -> None:
    lock = JobLock(out)
    with pytest.raises(OutputError, match="another u2forge run at work there"):
        opened(photos, out, "refuse")
    lock.release()
    lock.release()
    opened(photos, out, "refuse")


def test_a_refusal_frees_the_folder(photos: Path, out: Path) -> None:
    out.mkdir()
    (out / "000.png").touch()
    for _ in range(2):
        with pytest.raises(OutputError, match="1 of 4"):
            opened(photos, out, "refuse")


def test_a_folder_that_cannot_be_made_is_an_output_error(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a folder that may be written to"):
        opened(photos, tmp_path / "file" / "out", "refuse")


def test_a_single_file_needs_no_record(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "mask.png"
    inputs = collect_inputs([photos / "000.png"])
    for existing in ("refuse", "resume", "replace"):
        assert len(open_job(inputs, target, suffix=".png", existing=existing, options={}).to_do) == 1
    target.touch()
    with pytest.raises(OutputError, match=r"output .*mask\.png: expected no results"):
        open_job(inputs, target, suffix=".png", existing="refuse", options={})
    # Nothing says with which options it was made, so it is made again.
    assert open_job(inputs, target, suffix=".png", existing="resume", options={}).finished == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.png", "photos"]


def test_an_unknown_policy_is_refused(photos: Path, out: Path) -> None:
    with pytest.raises(InputError, match="refuse, resume, replace; found 'skip'"):
        opened(photos, out, "skip")  # type: ignore[arg-type]


def test_a_missing_result_is_not_finished(photos: Path, out: Path) -> None:
    assert not is_finished(photos / "000.png", out / "000.png", job_started_ns=0)
    assert not is_finished(photos / "none.png", photos / "000.png", job_started_ns=0)


def test_what_decides_a_result_is_in_the_options() -> None:
    engine = FakeEngine()
    plain = job_options(fake_segmenter(engine), RenderOptions())
    assert job_options(fake_segmenter(FakeEngine(batch_size=4)), RenderOptions()) == plain
    changed = [
        job_options(fake_segmenter(engine, origin="1" * 64), RenderOptions()),
        job_options(Segmenter(engine, fake_manifest(engine), pre="rembg"), RenderOptions()),
        job_options(Segmenter(engine, fake_manifest(engine), post="raw"), RenderOptions()),
        job_options(fake_segmenter(engine), RenderOptions("cutout")),
        job_options(fake_segmenter(engine), RenderOptions(format="webp")),
        job_options(fake_segmenter(engine), RenderOptions(format="jpeg", quality=80)),
        job_options(
            fake_segmenter(engine), RenderOptions("composite", background=Background(colour=(1, 2, 3)))
        ),
        job_options(
            fake_segmenter(engine), RenderOptions("composite", background=Background(colour=(1, 2, 4)))
        ),
    ]
    assert len({json.dumps(options) for options in [plain, *changed]}) == 9
