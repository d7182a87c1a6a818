"""The output folder of an evaluation: locked, told from that of another job, with the journal that resumes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from u2forge.atomic_file import atomic_path
from u2forge.errors import InputError
from u2forge.evaluate.journal import JOURNAL_NAME, job_digest, opened_journal, read_journal
from u2forge.evaluate.picture_record import PictureRecord
from u2forge.leftovers import remove_leftovers
from u2forge.pipeline.existing_results import refuse_existing
from u2forge.pipeline.job_record import ExistingPolicy, JobLock, check_record, write_record
from u2forge.pipeline.walk_folder import RECORD_NAME

RESULT_NAME = "eval.json"
CSV_NAME = "pictures.csv"
PAGE_NAME = "report.html"

Options = Mapping[str, str | int | None]
AddRecord = Callable[[PictureRecord], None]


class EvalFolder:
    """The folder of one job. Make it with `locked_folder`."""

    def __init__(self, path: Path, existing: ExistingPolicy) -> None:
        self.path = path
        self._existing = existing
        self._digest = ""

    @contextmanager
    def journal(self, options: Options) -> Iterator[tuple[Iterable[PictureRecord], AddRecord]]:
        """The records of the job so far, to be read before anything is added, and what adds one.

        options: all that decides what the records say. Raises InputError where the folder is another job's.
        """
        self._digest = job_digest(options)
        if self._existing == "resume":
            if check_record(self.path, options) is None:
                self._refuse_unknown()
                write_record(self.path, options)
        else:
            for name in (JOURNAL_NAME, RESULT_NAME, CSV_NAME, PAGE_NAME):
                (self.path / name).unlink(missing_ok=True)
            write_record(self.path, options)
        next(self.records(), None)  # another job's is refused before it is touched
        with opened_journal(self._journal_path, self._digest) as journal:
            yield self.records(), journal.add

    def records(self) -> Iterator[PictureRecord]:
        """The records of the journal, one at a time."""
        return read_journal(self._journal_path, self._digest)

    @contextmanager
    def result_file(self, name: str) -> Iterator[TextIO]:
        """A result to be written, whole or not at all. Raises OutputError."""
        with (
            atomic_path(self.path / name) as temporary,
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            yield file

    @property
    def _journal_path(self) -> Path:
        return self.path / JOURNAL_NAME

    def _refuse_unknown(self) -> None:
        if self._journal_path.exists():
            raise InputError(
                where=f"resuming in {self.path}",
                expected="the record of the job that made what is there",
                found=f"{JOURNAL_NAME} and no record",
                fix="name another output folder, or do all again (--existing replace)",
            )


@contextmanager
def locked_folder(path: Path, existing: ExistingPolicy) -> Iterator[EvalFolder]:
    """The folder, made where it is missing, and no other run in it. Raises OutputError where it cannot be written,
    another run is at work, or (existing `refuse`) results are there."""
    if existing == "refuse":
        refuse_existing([path / name for name in (RECORD_NAME, JOURNAL_NAME, RESULT_NAME)])
    lock = JobLock(path)
    try:
        remove_leftovers([path])
        yield EvalFolder(path, existing)
    finally:
        lock.release()
