"""Runs that are killed, interrupted or doubled, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from fake_engine import write_photos
from PIL import Image

from u2forge.atomic_file import TEMPORARY_SUFFIX
from u2forge.pipeline.job_record import JobLock

PROGRAM = Path(__file__).with_name("folder_program.py")
COUNT = 40

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", COUNT)
    return tmp_path / "photos"


def begin(photos: Path, out: Path, existing: str, *, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(photos), str(out), existing, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_reports(process: subprocess.Popen[str], count: int) -> list[dict[str, object]]:
    """The first `count` reports of a run under way."""
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def whole(out: Path) -> dict[str, int]:
    """Name to time of every result, each of which must be a whole picture."""
    times = {}
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert image.size == (40, 30)
        times[path.name] = path.stat().st_mtime_ns
    return times


def test_killed_and_resumed_nothing_is_missing_broken_or_done_twice(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done: Counter[str] = Counter()
    times: dict[str, int] = {}
    for existing, count in (("refuse", 7), ("resume", 14)):
        process = begin(photos, out, existing, seconds=0.02)
        read_reports(process, count)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
        now = whole(out)
        assert len(now) < COUNT
        assert {name: now[name] for name in times} == times
        done.update(now.keys() - times.keys())
        times = now
    # What a kill in the middle of a write leaves: a part of a file under a temporary name.
    leftover = out / f".{COUNT - 1:03d}.png.{process.pid}-00000000{TEMPORARY_SUFFIX}"
    leftover.write_bytes(b"part")
    process = begin(photos, out, "resume", seconds=0)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    reports = [json.loads(line) for line in output.splitlines()[1:]]
    assert Counter(report["status"] for report in reports) == {
        "skipped": len(times),
        "done": COUNT - len(times),
    }
    final = whole(out)
    assert sorted(final) == sorted(path.name for path in photos.iterdir())
    assert {name: final[name] for name in times} == times
    done.update(final.keys() - times.keys())
    assert set(done.values()) == {1}
    assert not leftover.exists()


def test_an_interrupt_ends_soon_and_leaves_no_temporary_files(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # Slow enough that a busy machine cannot be done with the folder before the signal comes.
    process = begin(photos, out, "refuse", seconds=0.5)
    read_reports(process, 3)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == ""
    assert time.monotonic() - asked < 5
    assert 3 <= len(whole(out)) < COUNT
    assert [path for path in out.iterdir() if path.name.endswith(TEMPORARY_SUFFIX)] == []


def test_a_folder_that_another_process_fills_is_refused(photos: Path, tmp_path: Path) -> None:
    lock = JobLock(tmp_path / "out")
    try:
        process = begin(photos, tmp_path / "out", "replace", seconds=0)
        _, errors = process.communicate(timeout=30)
    finally:
        lock.release()
    assert process.returncode == 2
    assert "another u2forge run at work there" in errors


def test_a_limit_on_file_size_fails_pictures_and_leaves_no_parts(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    write_photos(tmp_path / "photos", 4)
    out = tmp_path / "out"
    command = [sys.executable, str(PROGRAM), str(tmp_path / "photos"), str(out), "refuse", "0"]
    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)),
    )
    reports = [json.loads(line) for line in answer.stdout.splitlines()[1:]]
    assert [report["status"] for report in reports] == ["failed"] * 4
    assert list(out.glob("*.png")) == []
    assert [path for path in out.iterdir() if path.name.endswith(TEMPORARY_SUFFIX)] == []
