"""The journal: what was written is read back, a torn end is cut off, another job's is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from u2forge.errors import InputError, OutputError
from u2forge.evaluate.datasets import PairProblem
from u2forge.evaluate.journal import job_digest, opened_journal, read_journal
from u2forge.evaluate.picture_record import PictureRecord

RECORDS = [
    PictureRecord(f"{index}é\udc80.jpg", 4, 3, (), PairProblem("a", "failed", "x" * 99)) for index in range(5)
]


def write(path: Path, records: list[PictureRecord], digest: str = "d") -> None:
    with opened_journal(path, digest) as journal:
        for record in records:
            journal.add(record)


def test_records_are_read_back_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, RECORDS[:2])
    write(path, RECORDS[2:])
    assert list(read_journal(path, "d")) == RECORDS


def test_an_end_torn_anywhere_loses_one_record_at_most(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, RECORDS)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        kept = list(read_journal(path, "d"))
        assert kept == RECORDS[: max(0, whole[:size].count(b"\n") - 1)]
        write(path, RECORDS[len(kept) :])
        assert path.read_bytes() == whole


def test_lines_longer_than_a_block_are_cut_off_too(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, RECORDS[:1])
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b"x" * 200_000)
    write(path, [])
    assert path.read_bytes() == whole


def test_another_job_is_refused_and_a_missing_journal_is_empty(tmp_path: Path) -> None:
    assert list(read_journal(tmp_path / "missing", "d")) == []
    write(tmp_path / "journal", RECORDS, digest="other")
    with pytest.raises(InputError, match="other models, pictures or options"):
        list(read_journal(tmp_path / "journal", "d"))


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="writing"):
        write(tmp_path / "missing" / "journal", RECORDS)


def test_digests_tell_jobs() -> None:
    assert job_digest({"a": 1, "b": "x"}) == job_digest({"b": "x", "a": 1})
    assert job_digest({"a": 1}) != job_digest({"a": "1"})
