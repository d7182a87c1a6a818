"""run: the one-click job. Weights → models → masks and cut-outs of a few photos, a table and a page to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from u2forge.atomic_file import write_atomic
from u2forge.errors import ImageError, InputError
from u2forge.evaluate.parity import Parity
from u2forge.pipeline.inputs import collect_inputs
from u2forge.pipeline.naming import plan_outputs
from u2forge.pipeline.segmenter import Segmenter
from u2forge.precision import PRECISION_MODES
from u2forge.report.html_report import ReportPicture
from u2forge.report.run_table import HEADINGS, STAGES, RunRow, text_table
from u2forge.verbs.demo_photos import demo_photos

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

    def __str__(self) -> str:
        table = text_table(HEADINGS, [row.cells() for row in self.rows])
        return f"{table}\n\n{self.pictures} pictures in {self.out}; look at {self.report}"


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
    models = [_open(model, precision, engine, device, threads, progress) for precision in PRECISION_MODES]
    masks = plan_outputs(inputs, folder / "masks", suffix=".png")
    cutouts = plan_outputs(inputs, folder / "cutouts", suffix=".png")
    failures: list[str] = []
    shown: list[ReportPicture] = []
    done = 0
    try:
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
    finally:
        for one in models:
            one.segmenter.close()
    if not done:
        raise InputError(
            where=f"pictures of {images}",
            expected="at least one that can be read",
            found="; ".join(failures[:3]),
            fix="give a folder with sound pictures",
        )
    rows = tuple(_row(one, done) for one in models)
    report = folder / "report.html"
    write_atomic(report, _page(rows, shown, done, failures).encode())
    return RunResult(rows=rows, pictures=done, failures=tuple(failures), out=folder, report=report)
