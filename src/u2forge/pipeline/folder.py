"""segment_folder: many pictures to a folder of results, overlapped, resumable, one report each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from u2forge.engine.processor import usable_processors
from u2forge.errors import InputError
from u2forge.pipeline.encode_picture import FILE_SUFFIX
from u2forge.pipeline.folder_job import FolderJob, open_job
from u2forge.pipeline.folder_summary import FolderSummary
from u2forge.pipeline.inputs import InputPicture
from u2forge.pipeline.job_record import ExistingPolicy, job_options
from u2forge.pipeline.picture_flow import PictureFlow
from u2forge.pipeline.picture_report import STAGES, PictureReport
from u2forge.pipeline.picture_stages import PictureInFlight
from u2forge.pipeline.read_picture import DEFAULT_MAX_PIXELS
from u2forge.pipeline.render_options import OUTPUT_KINDS, OutputKind, RenderOptions
from u2forge.pipeline.segmenter import Segmenter

__all__ = [
    "OUTPUT_KINDS",
    "FolderOptions",
    "FolderRun",
    "OutputKind",
    "RenderOptions",
    "segment_folder",
]


@dataclass(frozen=True)
class FolderOptions:
    """How a folder is worked through. workers: threads that decode and encode, None for one a usable
    processor.

    batch_size: pictures in an inference, None for the model's own (1 where it takes any number). existing:
    what to do about results that are there: refuse, resume or replace. max_pixels: a larger picture fails.
    pixels_in_flight: decoded at once, a larger picture goes through alone.
    """

    workers: int | None = None
    batch_size: int | None = None
    existing: ExistingPolicy = "refuse"
    max_pixels: int = DEFAULT_MAX_PIXELS
    pixels_in_flight: int = 64_000_000

    def __post_init__(self) -> None:
        for name in ("workers", "batch_size", "max_pixels", "pixels_in_flight"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(
                    where=f"option {name!r}",
                    expected="at least 1",
                    found=str(value),
                    fix="give a larger number",
                )


class FolderRun:
    """A run that is ready: iterate over it, once, for a report of each picture in the order of completion.

    Use it in a with statement: leaving it early ends the threads, waits for what they have in hand and frees
    the output folder. total: pictures in all; summary: what was reported so far.
    """

    def __init__(
        self, job: FolderJob, segmenter: Segmenter, render: RenderOptions, options: FolderOptions
    ) -> None:
        self.total = len(job.to_do) + len(job.finished)
        self._job = job
        self._segmenter = segmenter
        self._counts: Counter[str] = Counter()
        self._stage_ms = dict.fromkeys(STAGES, 0.0)
        self._wall_s = 0.0
        self._flow = PictureFlow(
            segmenter,
            render,
            workers=options.workers or usable_processors(),
            batch_size=_batch_size(segmenter, options),
            max_pixels=options.max_pixels,
            pixels_in_flight=options.pixels_in_flight,
        )
        self._reports = self._run()

    def __iter__(self) -> Iterator[PictureReport]:
        return self._reports

    @property
    def summary(self) -> FolderSummary:
        """Counts and times of the reports so far."""
        return FolderSummary(
            done=self._counts["done"],
            failed=self._counts["failed"],
            skipped=self._counts["skipped"],
            wall_s=self._wall_s,
            stage_ms=dict(self._stage_ms),
            engine=self._segmenter.engine.info,
        )

    def close(self) -> None:
        """Ends the run; what was written stays. A second call does nothing."""
        try:
            self._reports.close()
        finally:
            self._release()

    def __enter__(self) -> FolderRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> Generator[PictureReport, None, None]:
        start = time.perf_counter()
        flights = (PictureInFlight(source, output) for source, output in self._job.to_do)
        try:
            for source, output in self._job.finished:
                self._counts["skipped"] += 1
                yield PictureReport(source, output, "skipped", "finished by an earlier run")
            with closing(self._flow.reports(flights)) as reports:
                for report in reports:
                    self._counts[report.status] += 1
                    for stage, milliseconds in report.stage_ms.items():
                        self._stage_ms[stage] += milliseconds
                    self._wall_s = time.perf_counter() - start
                    yield report
        finally:
            self._wall_s = time.perf_counter() - start
            self._release()

    def _release(self) -> None:
        if self._job.lock is not None:
            self._job.lock.release()


def segment_folder(
    segmenter: Segmenter,
    inputs: Sequence[InputPicture],
    output: Path,
    *,
    render: RenderOptions | None = None,
    options: FolderOptions | None = None,
) -> FolderRun:
    """A run over `inputs`, ready to start: names planned, output folder locked and its record written.

    Iterating raises OutputError where the output disk fails and EngineError where the engine does; a bad
    picture is a report. Raises InputError where names or options do not fit, OutputError where results are
    there already, the folder cannot be written to or another run is at work in it.
    """
    render = render or RenderOptions()
    options = options or FolderOptions()
    _batch_size(segmenter, options)
    job = open_job(
        inputs,
        output,
        suffix=FILE_SUFFIX[render.format],
        existing=options.existing,
        options=job_options(segmenter, render),
    )
    return FolderRun(job, segmenter, render, options)


def _batch_size(segmenter: Segmenter, options: FolderOptions) -> int:
    fixed = segmenter.batch_size
    if options.batch_size is not None and fixed is not None and options.batch_size != fixed:
        raise InputError(
            where="option 'batch_size'",
            expected=f"{fixed}, which the model was built for",
            found=str(options.batch_size),
            fix="leave it out, or build a model of that batch size (or dynamic)",
        )
    return fixed or options.batch_size or 1
