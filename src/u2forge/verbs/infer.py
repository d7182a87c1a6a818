"""infer: pictures → masks, cut-outs, probability maps or composites, many at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from u2forge.errors import InputError
from u2forge.pipeline.background import read_background
from u2forge.pipeline.encode_picture import FILE_SUFFIX, PictureFormat
from u2forge.pipeline.folder import FolderOptions, segment_folder
from u2forge.pipeline.folder_summary import FolderSummary
from u2forge.pipeline.inputs import collect_inputs
from u2forge.pipeline.job_record import ExistingPolicy
from u2forge.pipeline.naming import check_place
from u2forge.pipeline.picture_report import PictureReport
from u2forge.pipeline.read_picture import DEFAULT_MAX_PIXELS
from u2forge.pipeline.render_options import OutputKind, RenderOptions
from u2forge.precision import PrecisionMode
from u2forge.profiles import PostProfile, PreProfile
from u2forge.verbs.open_segmenter import open_segmenter


def infer(
    inputs: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    model: str | Path = "u2net",
    precision: PrecisionMode | None = None,
    output: OutputKind = "mask",
    background: str | None = None,
    format: PictureFormat = "png",
    quality: int | None = None,
    pre: PreProfile | None = None,
    post: PostProfile | None = None,
    engine: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    streams: int = 1,
    existing: ExistingPolicy = "refuse",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    progress: bool = False,
    on_start: Callable[[int], None] | None = None,
    on_report: Callable[[PictureReport], None] | None = None,
) -> FolderSummary:
    """What became of the pictures; their results are in `out`, written whole or not at all.

    inputs: files, folders (structure kept), globs, .txt lists, or - for a list on standard input. None stands for
    the model's own choice. on_start is told the number of pictures, on_report each one's end, in order of completion.
    A bad picture is a report with status `failed`. Raises InputError, ModelError, FetchError, EngineError, OutputError.
    """
    render = RenderOptions(
        output=output,
        format=format,
        quality=quality,
        background=None if background is None else read_background(background, max_pixels=max_pixels),
    )
    options = FolderOptions(workers=workers, batch_size=batch_size, existing=existing, max_pixels=max_pixels)
    if output == "probability" and post is not None:
        raise InputError(
            where="option 'post'",
            expected="none with the output 'probability', which is never stretched",
            found=repr(post),
            fix="leave it out, or ask for masks",
        )
    pictures = collect_inputs([inputs] if isinstance(inputs, str | Path) else inputs)
    folder = Path(out).expanduser()
    check_place(pictures, folder, suffix=FILE_SUFFIX[format])
    with (
        open_segmenter(
            model,
            precision=precision,
            pre=pre,
            post=post,
            engine=engine,
            device=device,
            batch_size=batch_size,
            threads=threads,
            streams=streams,
            progress=progress,
        ) as segmenter,
        segment_folder(segmenter, pictures, folder, render=render, options=options) as reports,
    ):
        if on_start is not None:
            on_start(reports.total)
        for report in reports:
            if on_report is not None:
                on_report(report)
        return reports.summary
