"""eval: models and a data set → metrics by the protocols of the field, side by side, and a gate for them."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from u2forge import __version__
from u2forge.engine.processor import processor_name, usable_processors
from u2forge.engine.registry import check_engine
from u2forge.errors import InputError, unknown_choice
from u2forge.evaluate.baseline import Gate, check_baseline, check_gate, read_baseline
from u2forge.evaluate.check_pairs import CheckedPairs, check_pairs, no_pair_left
from u2forge.evaluate.chosen_pairs import every_kth, files_digest, pairs_digest
from u2forge.evaluate.datasets import Dataset, Pair, find_dataset
from u2forge.evaluate.eval_row import OFF_SCALE
from u2forge.evaluate.protocols import Protocol, known_protocol, score_picture
from u2forge.pipeline.job_record import EXISTING_POLICIES, ExistingPolicy
from u2forge.pipeline.read_picture import DEFAULT_MAX_PIXELS
from u2forge.precision import PrecisionMode
from u2forge.profiles import PreProfile
from u2forge.report.eval_result import EvalResult
from u2forge.verbs.eval_folder import EvalFolder, locked_folder
from u2forge.verbs.eval_models import OpenedModel, opened_models
from u2forge.verbs.eval_results import write_results
from u2forge.verbs.eval_run import EvalRun, OnPicture, RunOptions

DEFAULT_PROTOCOL: Protocol = "paper"


def eval(
    models: str | Path | Sequence[str | Path],
    *,
    dataset: str | Path,
    protocol: Sequence[Protocol] = (),
    precision: PrecisionMode | None = None,
    pre: PreProfile | None = None,
    engine: str = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    existing: ExistingPolicy = "refuse",
    max_pixels: int = DEFAULT_MAX_PIXELS,
    baseline: str | Path | None = None,
    max_mae_loss: float | None = None,
    max_f_loss: float | None = None,
    progress: bool = False,
    on_start: Callable[[int], None] | None = None,
    on_picture: OnPicture | None = None,
    on_result: Callable[[EvalResult], None] | None = None,
) -> EvalResult:
    """Each model's figures on the pairs of photo and mask in `dataset`, by each protocol (none given: paper).

    models: files that `build` wrote, or cards' names; the first is what the others are compared with. limit: at most
    so many pictures, evenly spread. out: a folder for eval.json, pictures.csv, report.html and the journal that
    `existing="resume"` goes on from; None keeps nothing. baseline: an eval.json that no row may lose more against
    than max_mae_loss and max_f_loss allow. on_result is told the result before that gate. A broken pair is left out
    for all models and listed. Raises InputError, ModelError, FetchError, EngineError, MissingDependencyError,
    OutputError; AccuracyError where a row falls behind the baseline, when all results are written.
    """
    protocols = _protocols(protocol)
    options = RunOptions(protocols, workers, batch_size, max_pixels)
    _check_counts({"workers": workers, "batch_size": batch_size, "limit": limit, "max_pixels": max_pixels})
    _check_existing(existing, out)
    gate = _gate(baseline, max_mae_loss, max_f_loss, protocols)
    found = find_dataset(dataset)
    checked = check_pairs(found, max_pixels=max_pixels)
    pairs = every_kth(checked.pairs, limit)
    if gate is not None:
        digest = pairs_digest(pairs)
        check_baseline(gate.baseline, dataset=found.name, pairs_digest=digest, protocols=protocols)
    check_engine(engine, device=device)
    names = [models] if isinstance(models, str | Path) else models
    with (
        _output(out, existing) as folder,
        opened_models(
            names,
            precision=precision,
            pre=pre,
            engine=engine,
            device=device,
            batch_size=batch_size,
            threads=threads,
            progress=progress,
        ) as opened,
    ):
        if on_start is not None:
            on_start(len(pairs))
        run = EvalRun(opened, pairs, options, with_gallery=folder is not None, on_picture=on_picture)
        _work(run, folder, _job(opened, pairs, options))
        result = _result(run, found, checked, pairs, limit, folder)
        if folder is not None and run.gallery is not None:
            write_results(folder, result, models=opened, totals=run.totals, gallery=run.gallery)
    if on_result is not None:
        on_result(result)
    if gate is not None:
        check_gate(result.rows, gate)
    return result


@contextmanager
def _output(out: str | Path | None, existing: ExistingPolicy) -> Iterator[EvalFolder | None]:
    if out is None:
        yield None
    else:
        with locked_folder(Path(out).expanduser(), existing) as folder:
            yield folder


def _work(run: EvalRun, folder: EvalFolder | None, job: Mapping[str, str | int | None]) -> None:
    if folder is None:
        run.go_on(lambda record: None)
        return
    with folder.journal(job) as (records, add_record):
        run.replay(records)
        run.go_on(add_record)
    run.complete_gallery()


def _job(
    models: Sequence[OpenedModel], pairs: Sequence[Pair], options: RunOptions
) -> dict[str, str | int | None]:
    """All that decides what the records say."""
    return {
        "job": "eval",
        "models": "; ".join(model.described() for model in models),
        "pictures": f"{len(pairs)}, sha256 {files_digest(pairs)[:16]}",
        "protocols": ", ".join(options.protocols),
        "batch_size": options.batch_size,
        "u2forge": __version__,
    }


def _result(
    run: EvalRun,
    found: Dataset,
    checked: CheckedPairs,
    pairs: Sequence[Pair],
    limit: int | None,
    folder: EvalFolder | None,
) -> EvalResult:
    """Raises InputError where no picture could be evaluated."""
    problems = sorted((*checked.problems, *run.problems), key=lambda problem: problem.name)
    if not run.images:
        raise no_pair_left(found, problems)
    return EvalResult(
        dataset=found.name,
        folder=found.folder,
        layout=found.layout,
        pairs_digest=pairs_digest(pairs),
        found=len(checked.pairs) + len(checked.problems),
        chosen=len(pairs),
        limit=limit,
        images=run.images,
        rows=tuple(run.rows(found.name)),
        problems=tuple(problems),
        machine={
            "processor": processor_name(),
            "processors": usable_processors(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        versions={
            "u2forge": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in ("numpy", "pillow")},
            **({"scipy": version("scipy")} if find_spec("scipy") else {}),
        },
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        out=None if folder is None else folder.path,
    )


def _protocols(protocol: Sequence[Protocol]) -> tuple[Protocol, ...]:
    """Each of them once. Raises InputError on an unknown one, MissingDependencyError where it needs a package."""
    asked: Sequence[object] = (protocol,) if isinstance(protocol, str) else protocol
    names = tuple(dict.fromkeys(known_protocol(name) for name in asked)) or (DEFAULT_PROTOCOL,)
    for name in names:
        # What a protocol needs is missed here, before anything is fetched and opened.
        blank = np.zeros((8, 8), np.float32 if name == "magicmind" else np.uint8)
        score_picture(blank, blank.astype(np.uint8), protocol=name)
    return names


def _check_counts(counts: Mapping[str, int | None]) -> None:
    for name, value in counts.items():
        if value is not None and value < 1:
            raise _wrong(name, "at least 1", str(value), "give a larger number")


def _check_existing(existing: ExistingPolicy, out: str | Path | None) -> None:
    if existing not in EXISTING_POLICIES:
        raise unknown_choice(existing, EXISTING_POLICIES, where="eval, option 'existing'")
    if existing != "refuse" and out is None:
        raise _wrong(
            "existing", "a folder of results (--out) with it", "none", "name the folder, or leave it out"
        )


def _gate(
    baseline: str | Path | None,
    max_mae_loss: float | None,
    max_f_loss: float | None,
    protocols: Sequence[Protocol],
) -> Gate | None:
    limits = {"max_mae_loss": max_mae_loss, "max_f_loss": max_f_loss}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    for name, limit in given.items():
        if not 0 <= limit < 1:  # false for NaN
            raise _wrong(name, "a loss of at least 0 and below 1", str(limit), "give 0.0005, say")
    if baseline is None:
        if given:
            raise _wrong("baseline", "an eval.json to compare with", "none", "give --baseline FILE")
        return None
    if not given:
        raise _wrong("baseline", "a limit with it", "none", "give --max-mae-loss or --max-f-loss")
    if all(name in OFF_SCALE for name in protocols):
        fix = "add --protocol paper or pysodmetrics"
        raise _wrong("baseline", "a protocol that measures quality", ", ".join(protocols), fix)
    return Gate(read_baseline(Path(baseline).expanduser()), max_mae_loss, max_f_loss)


def _wrong(option: str, expected: str, found: str, fix: str) -> InputError:
    return InputError(where=f"eval, option {option!r}", expected=expected, found=found, fix=fix)
