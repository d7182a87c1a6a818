"""Inputs and an output place to the work that is left there: names planned, place locked, finished results
found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from u2forge.errors import InputError, unknown_choice
from u2forge.leftovers import remove_leftovers
from u2forge.pipeline.existing_results import is_finished, refuse_existing
from u2forge.pipeline.inputs import InputPicture
from u2forge.pipeline.job_record import (
    EXISTING_POLICIES,
    ExistingPolicy,
    JobLock,
    Options,
    check_record,
    write_record,
)
from u2forge.pipeline.naming import is_single_file, plan_outputs

PlannedPicture = tuple[Path, Path]


@dataclass(frozen=True)
class FolderJob:
    """The work on one output place. to_do, finished: (input, output), in the order of the inputs.
    lock: held until the work ends, None for a single file."""

    to_do: list[PlannedPicture]
    finished: list[PlannedPicture]
    lock: JobLock | None


def open_job(
    inputs: Sequence[InputPicture], output: Path, *, suffix: str, existing: ExistingPolicy, options: Options
) -> FolderJob:
    """The job of making every input's result, minus what --resume finds finished; its lock is held.

    Raises InputError where names or options do not fit, OutputError where results are there (refuse), another
    run is at work or the place cannot be written to.
    """
    if existing not in EXISTING_POLICIES:
        raise unknown_choice(existing, EXISTING_POLICIES, where="option 'existing'")
    outputs = plan_outputs(inputs, output, suffix=suffix)
    planned = [(item.path, path) for item, path in zip(inputs, outputs, strict=True)]
    if is_single_file(inputs, output):
        if existing == "refuse":
            refuse_existing(outputs)
        remove_leftovers([output.parent])
        # No record says with which options a single file was made, so --resume makes it again.
        return _split(planned, job_started_ns=None, lock=None)
    lock = JobLock(output)
    try:
        started_ns = _start(output, outputs, existing, options)
        return _split(planned, job_started_ns=started_ns, lock=lock)
    except BaseException:
        lock.release()
        raise


def _start(folder: Path, outputs: Sequence[Path], existing: ExistingPolicy, options: Options) -> int | None:
    """The start of the job that is continued, None where a new one begins."""
    started_ns = None
    is_same_job = False
    if existing == "resume":
        started_ns = check_record(folder, options)
        if started_ns is None:
            _refuse_unknown(folder, outputs)
    elif existing == "refuse":
        refuse_existing(outputs)
        is_same_job = _holds_same_job(folder, options)
    remove_leftovers({folder, *(path.parent for path in outputs)})
    if started_ns is None and not is_same_job:
        write_record(folder, options)
    return started_ns


def _holds_same_job(folder: Path, options: Options) -> bool:
    """Whether more pictures come to a job of these options, whose results then stay finished for --resume."""
    try:
        return check_record(folder, options) is not None
    except InputError:
        return False


def _refuse_unknown(folder: Path, outputs: Sequence[Path]) -> None:
    there = sum(os.path.lexists(path) for path in outputs)
    if there:
        raise InputError(
            where=f"resuming in {folder}",
            expected="the record of the job that made what is there",
            found=f"{there} of {len(outputs)} results and no record",
            fix="name another output folder, or replace all (--existing replace)",
        )


def _split(planned: list[PlannedPicture], *, job_started_ns: int | None, lock: JobLock | None) -> FolderJob:
    if job_started_ns is None:
        return FolderJob(to_do=planned, finished=[], lock=lock)
    done = [is_finished(source, output, job_started_ns=job_started_ns) for source, output in planned]
    return FolderJob(
        to_do=[pair for pair, is_done in zip(planned, done, strict=True) if not is_done],
        finished=[pair for pair, is_done in zip(planned, done, strict=True) if is_done],
        lock=lock,
    )
