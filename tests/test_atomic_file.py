"""Atomic files: whole or not at all, nothing left behind."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from u2forge.atomic_file import atomic_path, write_atomic
from u2forge.errors import OutputError


def test_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a" / "b.txt", b"whole")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"whole"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_a_failure_keeps_the_old_file_and_leaves_no_part(tmp_path: Path) -> None:
    target = tmp_path / "b.txt"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="in the middle"), atomic_path(target) as temporary:
        temporary.write_bytes(b"ne")
        raise RuntimeError("in the middle")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left"), atomic_path(tmp_path / "b.txt") as temporary:
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(OutputError, match="another output folder"):
        write_atomic(tmp_path / "taken" / "b.txt", b"")


@pytest.mark.parametrize("name", ["x" * 250, "雪" * 80])
def test_long_names_fit(name: str, tmp_path: Path) -> None:
    target = tmp_path / name
    write_atomic(target, b"1")
    assert target.read_bytes() == b"1"
