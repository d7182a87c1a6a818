"""What the user asked perf for → candidates: every model × precision × batch × engine × threads × streams, checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from u2forge.engine.processor import usable_processors
from u2forge.engine.registry import check_engine, choose_engine, engine_for_graph
from u2forge.errors import EngineError, InputError, ModelError
from u2forge.measure.candidate import Candidate, Scenario
from u2forge.measure.timed_network import MOST_PICTURES
from u2forge.model_file.read import read_manifest
from u2forge.pipeline.inputs import collect_inputs
from u2forge.precision import PrecisionMode
from u2forge.verbs.calibration_data import evenly_spread
from u2forge.verbs.demo_photos import demo_photos
from u2forge.verbs.model_path import model_path
from u2forge.weights.cards import CARDS

# What the search for the best throughput tries where a model takes any batch.
SEARCHED_BATCH_SIZES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Wanted:
    """The lists of the command line; an empty one stands for the model's or engine's own."""

    models: Sequence[str | Path]
    engines: Sequence[str]
    device: str
    batch_sizes: Sequence[int]
    precisions: Sequence[PrecisionMode]
    threads: Sequence[int]
    streams: Sequence[int]
    scenario: Scenario
    inputs: Sequence[str | Path]


def make_candidates(wanted: Wanted, *, progress: bool) -> list[list[Candidate]]:
    """The candidates, each in a list of its own; for the scenario `throughput` a list holds the variants (streams ×
    batch) of which the best is sought.

    Cards' models are fetched and built. Raises, before anything is compiled, InputError on what does not fit: a
    batch or precision that a file was not built for, say; FetchError, MissingDependencyError.
    """
    engines = list(dict.fromkeys(wanted.engines or ("auto",)))
    for name in engines:
        check_engine(name, device=wanted.device)
    inputs = _inputs(wanted)
    searching = wanted.scenario == "throughput"
    found: list[tuple[int, list[Candidate]]] = []
    for (place, model), precision in itertools.product(_files_first(wanted), wanted.precisions or (None,)):
        batches = [
            (path, batch)
            for asked in _batches(model, precision, wanted)
            for path, batch in [_resolved(model, precision, asked, progress)]
        ]
        chosen = dict.fromkeys(_engine(batches[0][0], one, device=wanted.device) for one in engines)
        for engine, threads in itertools.product(chosen, wanted.threads or (None,)):
            variants = [
                Candidate(
                    model=str(model),
                    path=str(path),
                    engine=engine,
                    device=wanted.device,
                    batch_size=batch,
                    threads=threads,
                    streams=streams,
                    inputs=inputs,
                    scenario=wanted.scenario,
                )
                for (path, batch), streams in itertools.product(batches, _streams(threads, wanted))
            ]
            found += [(place, group) for group in ([variants] if searching else [[one] for one in variants])]
    return [variants for _, variants in sorted(found, key=lambda one: one[0])]


def _engine(path: Path, asked: str, *, device: str) -> str:
    """The engine that will be measured; of auto, one that runs the model's graph. What is wrong with a single model is
    left to its row."""
    chosen = choose_engine(asked, manifest=read_manifest(path), device=device)
    if asked != "auto":
        return chosen
    try:
        return engine_for_graph(path, chosen, device=device)
    except (EngineError, ModelError):
        return chosen


def described_options(candidate: Candidate) -> str:
    """The options that give these settings again."""
    device = "" if candidate.device == "auto" else f" --device {candidate.device}"
    threads = "" if candidate.threads is None else f" --threads {candidate.threads}"
    counts = f"--streams {candidate.streams} --batch-size {candidate.batch_size}{threads}"
    return f"--engine {candidate.engine}{device} {counts}"


def _files_first(wanted: Wanted) -> list[tuple[int, str | Path]]:
    """The models and their places; what can be refused at once comes before anything is fetched and built."""
    if not wanted.models:
        raise InputError(
            where="perf", expected="at least one model", found="none", fix="name a model file, or u2net"
        )
    return sorted(enumerate(wanted.models), key=lambda one: str(one[1]) in CARDS)


def _batches(model: str | Path, precision: PrecisionMode | None, wanted: Wanted) -> Iterator[int | None]:
    """The batch sizes to try, None for the model's own."""
    if wanted.batch_sizes or wanted.scenario != "throughput":
        yield from wanted.batch_sizes or (None,)
    elif str(model) in CARDS or _takes_any_batch(model_path(model, precision=precision)):
        yield from SEARCHED_BATCH_SIZES
    else:
        yield None


def _takes_any_batch(path: Path) -> bool:
    return read_manifest(path).inputs[0].batch_size is None


def _resolved(
    model: str | Path, precision: PrecisionMode | None, batch_size: int | None, progress: bool
) -> tuple[Path, int]:
    path = model_path(model, precision=precision, batch_size=batch_size, progress=progress)
    own = read_manifest(path).inputs[0].batch_size
    return path, own or batch_size or 1


def _streams(threads: int | None, wanted: Wanted) -> Sequence[int]:
    if wanted.streams or wanted.scenario != "throughput":
        return wanted.streams or (1,)
    most = threads or usable_processors()
    powers = [2**exponent for exponent in range(most.bit_length()) if 2**exponent <= most]
    return powers if most in powers else [*powers, most]


def _inputs(wanted: Wanted) -> tuple[str, ...]:
    if wanted.inputs:
        pictures = [one.path for one in collect_inputs(wanted.inputs)]
    elif wanted.scenario == "pipeline":
        pictures = demo_photos()
    else:
        return ()
    return tuple(str(path.absolute()) for path in evenly_spread(pictures, MOST_PICTURES))
