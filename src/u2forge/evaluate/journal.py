"""The journal of an evaluation: a JSON line a picture, written as it is done, so that a killed run can go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from u2forge.atomic_file import writing
from u2forge.errors import InputError
from u2forge.evaluate.picture_record import PictureRecord

JOURNAL_NAME = "journal.jsonl"
_VERSION = 1


def job_digest(options: Mapping[str, str | int | None]) -> str:
    """The sha256 of all that decides what the records say: models, pictures, options."""
    return hashlib.sha256(json.dumps(dict(options), sort_keys=True).encode()).hexdigest()


def read_journal(path: Path, digest: str) -> Iterator[PictureRecord]:
    """The records of a journal, one at a time; a last line that was torn by a kill is none.

    Raises InputError where the journal is of another job or broken. A missing or empty one has no records.
    """
    try:
        with path.open("rb") as file:
            head = file.readline()
            if not head.endswith(b"\n"):
                return
            if _head_digest(head) != digest:
                raise _wrong(path, "the journal of this job", "that of other models, pictures or options")
            for number, line in enumerate(file, start=2):
                if not line.endswith(b"\n"):
                    return
                try:
                    record = PictureRecord.from_dict(json.loads(line))
                except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                    raise _wrong(path, "a record a line", f"line {number} is none") from error
                yield record
    except FileNotFoundError:
        return


@contextmanager
def opened_journal(path: Path, digest: str) -> Iterator[Journal]:
    """The journal, to be gone on with behind its last whole line; a new one gets its head. Raises OutputError."""
    with writing(path), path.open("ab+") as file:
        _cut_torn_line(file)
        journal = Journal(file, path)
        if file.seek(0, 2) == 0:
            journal.write_line({"journal": _VERSION, "job": digest})
        yield journal


class Journal:
    """A journal that is open."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path

    def add(self, record: PictureRecord) -> None:
        """Writes one record through to the system: a kill after this loses nothing. Raises OutputError."""
        self.write_line(record.as_dict())

    def write_line(self, values: Mapping[str, object]) -> None:
        """Writes one line. Raises OutputError."""
        with writing(self._path):
            self._file.write(json.dumps(values, separators=(",", ":")).encode() + b"\n")
            self._file.flush()


def _cut_torn_line(file: BinaryIO) -> None:
    """Takes away what stands behind the last newline, reading backwards."""
    end = file.seek(0, 2)
    while end:
        start = max(0, end - (1 << 16))
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            file.truncate(start + newline + 1)
            return
        end = start
    file.truncate(0)


def _head_digest(head: bytes) -> object:
    try:
        values = json.loads(head)
        return values["job"] if values["journal"] == _VERSION else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _wrong(path: Path, expected: str, found: str) -> InputError:
    return InputError(
        where=f"resuming by {path}",
        expected=expected,
        found=found,
        fix="resume with that job's options, name another output folder, or do all again (--existing replace)",
    )
