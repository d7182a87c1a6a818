"""A candidate → its network on an open engine, each step of opening timed, and inferences to time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.elapsed import ms_since
from u2forge.engine.protocol import Engine, EngineOptions, Phases
from u2forge.engine.registry import choose_engine, import_engine, open_model
from u2forge.measure.candidate import Candidate
from u2forge.measure.perf_row import TensorInfo
from u2forge.measure.timed_runs import Turn, TurnLimits, timed_turn
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.read import open_model_file
from u2forge.pipeline.read_picture import read_picture
from u2forge.pipeline.segmenter import OFFICIAL_SIZE, Segmenter
from u2forge.tensor_spec import TensorSpec

# Prepared pictures are kept in memory: 1.2 MB each at 320 x 320.
MOST_PICTURES = 64
_PHASES = {field.name: field.name.removesuffix("_ms") for field in fields(Phases)}


class TimedNetwork:
    """The network alone: prepared arrays in, maps out. Raises ModelError, EngineError, InputError, ImageError on
    opening."""

    def __init__(self, candidate: Candidate) -> None:
        opening_ms = {}
        start = time.perf_counter()
        model = open_model_file(Path(candidate.path))
        opening_ms["model"] = ms_since(start)
        name = choose_engine(candidate.engine, manifest=model.manifest, device=candidate.device)
        start = time.perf_counter()
        import_engine(name)
        opening_ms["import"] = ms_since(start)
        options = EngineOptions(device=candidate.device, threads=candidate.threads, streams=candidate.streams)
        self.engine = open_model(model, engine=candidate.engine, options=options)
        opening_ms |= self.engine.info.opening_ms
        self._batches = _batches(self.engine, model.manifest, candidate)
        start = time.perf_counter()
        self.engine.run(self._batches[0])
        opening_ms["first_inference"] = ms_since(start)
        self.opening_ms: Mapping[str, float] = opening_ms
        self.streams = self.engine.info.streams

    def run_once(self, number: int) -> Mapping[str, float]:
        """One inference, and how long the parts took that the engine tells apart."""
        phases = Phases()
        self.engine.run(self._batches[number % len(self._batches)], phases=phases)
        return {
            name: milliseconds
            for field, name in _PHASES.items()
            if (milliseconds := getattr(phases, field)) is not None
        }

    def turn(self, limits: TurnLimits) -> Turn:
        """Inferences, in as many streams as there are, until the limits are met."""
        return timed_turn(self.run_once, limits, streams=self.streams)

    def close(self) -> None:
        """Closes the engine."""
        self.engine.close()


def tensor_infos(specs: Sequence[TensorSpec], *, batch_size: int) -> list[TensorInfo]:
    """What the tensors are with that batch, and the usual size where the model leaves it open."""
    infos = []
    for spec in specs:
        shape = filled_shape(spec, batch_size=batch_size)
        size_bytes = int(np.prod(shape)) * np.dtype(spec.dtype).itemsize
        infos.append(TensorInfo(spec.name, spec.dtype, spec.layout, shape, size_bytes))
    return infos


def filled_shape(spec: TensorSpec, *, batch_size: int) -> tuple[int, ...]:
    """The tensor's sizes, the open ones filled in."""
    rest = tuple(OFFICIAL_SIZE if size is None else size for size in spec.shape[1:])
    return (*(batch_size if size is None else size for size in spec.shape[:1]), *rest)


def noise_for(specs: Sequence[TensorSpec], *, batch_size: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Noise for every tensor: of mean 0 and deviation 1, or of all 256 grey levels; the same for the same seed."""
    random = np.random.default_rng(seed)
    arrays: dict[str, NDArray[Any]] = {}
    for spec in specs:
        shape = filled_shape(spec, batch_size=batch_size)
        dtype = np.dtype(spec.dtype)
        if dtype == np.bool_:
            arrays[spec.name] = random.integers(0, 2, shape).astype(dtype)
        elif np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            arrays[spec.name] = random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)
        else:
            arrays[spec.name] = random.standard_normal(shape).astype(dtype)
    return arrays


def _batches(engine: Engine, manifest: Manifest, candidate: Candidate) -> list[dict[str, NDArray[Any]]]:
    if not candidate.inputs:
        return [noise_for(engine.info.inputs, batch_size=candidate.batch_size)]
    segmenter = Segmenter(engine, manifest)
    pictures = [segmenter.prepare(read_picture(Path(path))) for path in candidate.inputs[:MOST_PICTURES]]
    size = candidate.batch_size
    # Filled up from the beginning, so that each batch is whole.
    count = -(-len(pictures) // size)
    order = [pictures[index % len(pictures)] for index in range(count * size)]
    name = engine.info.inputs[0].name
    return [{name: np.stack(order[start : start + size])} for start in range(0, len(order), size)]
