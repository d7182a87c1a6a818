"""run: the one-click job. Weights → models → masks and cut-outs of photos, a table and a page to look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from u2forge import __version__
from u2forge.atomic_file import write_atomic
from u2forge.elapsed import ms_since
from u2forge.engine.processor import processor_name, usable_processors
from u2forge.engine.registry import check_engine
from u2forge.errors import ImageError, InputError
from u2forge.evaluate.parity import Parity, parity
from u2forge.leftovers import remove_leftovers
from u2forge.pipeline.compose import cutout
from u2forge.pipeline.encode_picture import encode_picture
from u2forge.pipeline.inputs import InputPicture, collect_inputs
from u2forge.pipeline.job_record import JobLock, write_record
from u2forge.pipeline.naming import check_place, plan_outputs
from u2forge.pipeline.picture_report import STAGES
from u2forge.pipeline.postprocess import stretch
from u2forge.pipeline.read_picture import read_picture
from u2forge.pipeline.segmenter import Segmenter
from u2forge.precision import FLOAT_MODES, FloatMode
from u2forge.report.html_report import ReportPicture, html_report
from u2forge.report.run_table import HEADINGS, RunRow, text_table
from u2forge.report.thumbnail import thumbnail
from u2forge.verbs.demo_photos import demo_photos
from u2forge.verbs.model_path import model_path
from u2forge.verbs.open_segmenter import open_segmenter

THUMBNAIL_PIXELS = 420
# The page carries its pictures inside itself; beyond this many it would not open any more.
PAGE_PICTURES = 60


@dataclass
class _Model:
    """One candidate of the run, and what was gathered about it so far."""

    name: str
    path: Path
    segmenter: Segmenter
    stage_ms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    parities: list[Parity] = field(default_factory=list)

    def add(self, stage_ms: dict[str, float]) -> None:
        for stage, milliseconds in stage_ms.items():
            self.stage_ms[stage] += milliseconds


@dataclass(frozen=True)
class RunResult:
    """What the job made. rows: the first is the fp32 reference; failures: one line a picture left out."""

    rows: tuple[RunRow, ...]
    pictures: int
    failures: tuple[str, ...]
    out: Path
    report: Path

    def as_dict(self) -> dict[str, object]:
        """The result as plain values, for JSON."""
        return {
            "rows": [row.as_dict() for row in self.rows],
            "pictures": self.pictures,
            "failures": list(self.failures),
            "out": str(self.out),
            "report": str(self.report),
        }

    def __str__(self) -> str:
        first = self.rows[0]
        head = f"{first.model} by {first.engine} on {first.device}; milliseconds a picture by stage"
        table = text_table(HEADINGS, [row.cells() for row in self.rows])
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"{head}\n{table}\n\n{self.pictures} done{failed}, in {self.out}; look at {self.report}"


def run(
    images: str | Path | None = None,
    *,
    out: str | Path = "out",
    model: str = "u2net",
    engine: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    progress: bool = False,
    on_picture: Callable[[str], None] | None = None,
) -> RunResult:
    """Masks, cut-outs and report.html in `out`, of the pictures in `images` (demo photos where not given).

    Every float precision takes each picture in turn, so that a noisy machine favours none; what is written is
    that of the first, force_float32. A broken picture is listed and left out.
    Raises InputError where there is no picture, OutputError, FetchError, EngineError.
    """
    inputs = collect_inputs(demo_photos() if images is None else [Path(images).expanduser()])
    folder = Path(out).expanduser()
    check_place(inputs, folder, suffix=".png")
    check_engine(engine, device=device)
    masks = plan_outputs(inputs, folder / "masks", suffix=".png")
    cutouts = plan_outputs(inputs, folder / "cutouts", suffix=".png")
    failures: list[str] = []
    shown: list[ReportPicture] = []
    done = 0
    with ExitStack() as stack:
        stack.callback(JobLock(folder).release)
        remove_leftovers({folder, *(path.parent for path in (*masks, *cutouts))})
        # Marks the folder as results, which no later run takes for photos.
        write_record(folder, {"verb": "run", "model": model})
        models = []
        for precision in FLOAT_MODES:
            models.append(_open(model, precision, engine, device, threads, progress))
            stack.callback(models[-1].segmenter.close)
        for item, mask_path, cutout_path in zip(inputs, masks, cutouts, strict=True):
            try:
                shown_picture = _segment_one(models, item, mask_path, cutout_path)
            except ImageError as error:
                failures.append(str(error))
                continue
            done += 1
            if len(shown) < PAGE_PICTURES:
                shown.append(shown_picture)
            if on_picture is not None:
                on_picture(item.path.name)
    if not done:
        raise InputError(
            where=f"pictures of {images}",
            expected="at least one that can be read",
            found="; ".join(failures[:3]),
            fix="give a folder with sound pictures",
        )
    rows = tuple(_row(one, done) for one in models)
    report = folder / "report.html"
    write_atomic(report, _page(rows, shown, done, failures).encode(errors="replace"))
    return RunResult(rows=rows, pictures=done, failures=tuple(failures), out=folder, report=report)


def _open(
    model: str, precision: FloatMode, engine: str, device: str, threads: int | None, progress: bool
) -> _Model:
    segmenter = open_segmenter(
        model, precision=precision, engine=engine, device=device, threads=threads, progress=progress
    )
    path = model_path(model, precision=precision)
    segmenter.warm_up()
    return _Model(model, path, segmenter)


def _segment_one(
    models: list[_Model], item: InputPicture, mask_path: Path, cutout_path: Path
) -> ReportPicture:
    """Writes the picture's mask and cut-out, adds its figures to each model. Raises ImageError."""
    start = time.perf_counter()
    picture = read_picture(item.path)
    decode_ms = ms_since(start)
    segmentations = [one.segmenter.segment(picture) for one in models]
    reference = segmentations[0]
    start = time.perf_counter()
    pixels = cutout(picture, reference.mask)
    compose_ms = ms_since(start)
    start = time.perf_counter()
    write_atomic(mask_path, encode_picture(reference.mask, format="png"))
    write_atomic(
        cutout_path, encode_picture(pixels, format="png", icc_profile=picture.icc_profile, exif=picture.exif)
    )
    encode_ms = ms_since(start)
    fused = stretch(reference.probability)
    for one, segmentation in zip(models, segmentations, strict=True):
        one.add({"decode": decode_ms, **segmentation.stage_ms, "compose": compose_ms, "encode": encode_ms})
        one.parities.append(parity(fused, stretch(segmentation.probability)))
    note = f"{picture.width} × {picture.height}, foreground {np.mean(reference.mask > 127):.0%}"
    return ReportPicture(
        name=str(item.relative),
        note=note,
        photo_jpeg=encode_picture(
            thumbnail(picture.rgb, side=THUMBNAIL_PIXELS), format="jpeg", icc_profile=picture.icc_profile
        ),
        mask_png=encode_picture(thumbnail(reference.mask, side=THUMBNAIL_PIXELS), format="png"),
        cutout_webp=encode_picture(
            thumbnail(pixels, side=THUMBNAIL_PIXELS), format="webp", icc_profile=picture.icc_profile
        ),
    )


def _row(one: _Model, pictures: int) -> RunRow:
    info = one.segmenter.engine.info
    is_reference = info.precision_asked == FLOAT_MODES[0]
    differences = [found.mean_difference for found in one.parities]
    return RunRow(
        model=one.name,
        precision_asked=info.precision_asked,
        precision_executed=info.precision_executed,
        engine=f"{info.engine} {info.version}",
        device=info.device,
        size_bytes=one.path.stat().st_size,
        pictures=pictures,
        stage_ms={stage: total / pictures for stage, total in one.stage_ms.items()},
        mean_difference=None if is_reference else float(np.mean(differences)),
        worst_difference=None if is_reference else max(differences),
        worst_iou=None if is_reference else min(found.iou for found in one.parities),
    )


def _page(rows: Sequence[RunRow], shown: Sequence[ReportPicture], done: int, failures: Sequence[str]) -> str:
    return html_report(
        title=f"u2forge run: {rows[0].model}",
        lines=[
            f"{done} pictures; {rows[0].engine} on {rows[0].device} ({processor_name()}, {usable_processors()} "
            f"usable); u2forge {__version__}.",
            "Times are means in milliseconds a picture, one picture at a time. Decoding, composing and encoding are "
            "done once for all models. Difference and IoU: stretched maps against those of the first row.",
        ],
        headings=HEADINGS,
        rows=[row.cells() for row in rows],
        pictures=shown,
        failures=failures,
    )
