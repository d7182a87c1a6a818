"""Raw tensors on disk → inferences with them: their outputs as raw files again, or the times of their parts."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.atomic_file import write_atomic
from u2forge.engine.protocol import Engine, Phases, Tensors
from u2forge.errors import InputError
from u2forge.report.chrome_trace import TracedInference
from u2forge.tensor_spec import TensorSpec


def read_raw_inputs(
    files: Sequence[Path], specs: Sequence[TensorSpec], shapes: Sequence[tuple[int, ...]]
) -> list[dict[str, NDArray[Any]]]:
    """The files' numbers, as sets of one array for each input, in the inputs' order. shapes: with the batch filled in.

    Raises InputError where a file is missing or not of its input's size, or the last set is not whole.
    """
    if len(files) % len(specs):
        raise InputError(
            where="input files",
            expected=f"sets of {len(specs)}, one file for each of {', '.join(spec.name for spec in specs)}",
            found=f"{len(files)} files",
            fix="give one file for each input of the model",
        )
    arrays = [
        _read_raw(path, specs[index % len(specs)], shapes[index % len(specs)])
        for index, path in enumerate(files)
    ]
    names = [spec.name for spec in specs]
    return [
        dict(zip(names, arrays[start : start + len(names)], strict=True))
        for start in range(0, len(arrays), len(names))
    ]


def raw_output_path(folder: Path, index: int, *, number: int) -> Path:
    """Where that output of that set of inputs is written: under mm_run's names, those of further sets end in `_1`, …"""
    return folder / (f"output{index}" + (f"_{number}" if number else ""))


def write_raw_outputs(engine: Engine, sets: Sequence[Tensors], folder: Path) -> list[Path]:
    """The files written into `folder`: the raw outputs `output0`, `output1`, … of one inference for each set of inputs.

    Raises OutputError, EngineError.
    """
    written = []
    for number, inputs in enumerate(sets):
        for index, array in enumerate(engine.run(inputs).values()):
            path = raw_output_path(folder, index, number=number)
            write_atomic(path, np.ascontiguousarray(array).tobytes())
            written.append(path)
    return written


def trace_inferences(engine: Engine, sets: Sequence[Tensors], *, count: int) -> list[TracedInference]:
    """`count` inferences, one after the other, through the sets of inputs in turn. Raises EngineError."""
    engine.run(sets[0])  # the first one is slower, and no picture of the others
    traced = []
    begin = time.perf_counter()
    for number in range(count):
        phases = Phases()
        start = time.perf_counter()
        engine.run(sets[number % len(sets)], phases=phases)
        end = time.perf_counter()
        traced.append(TracedInference((start - begin) * 1000, (end - start) * 1000, phases))
    return traced


def _read_raw(path: Path, spec: TensorSpec, shape: tuple[int, ...]) -> NDArray[Any]:
    dtype = np.dtype(spec.dtype)
    expected = math.prod(shape) * dtype.itemsize
    where = f"input file {path}, for input {spec.name!r}"
    try:
        found = path.stat().st_size if path.is_file() else None
        data = path.read_bytes() if found == expected else b""
    except OSError as error:
        raise InputError(
            where=where,
            expected="a file that can be read",
            found=error.strerror or str(error),
            fix="check the path and the right to read it",
        ) from error
    if found is None:
        raise InputError(
            where=where,
            expected=f"raw {spec.dtype} numbers of the shape {shape}",
            found="a folder" if path.is_dir() else "no such file",
            fix="check the path",
        )
    if found != expected:
        raise InputError(
            where=where,
            expected=f"{expected} bytes: raw {spec.dtype} numbers of the shape {shape}, {spec.layout}",
            found=f"{found} bytes",
            fix="write the preprocessed batch as it is in memory (numpy: array.tofile), or choose another batch",
        )
    return np.frombuffer(data, dtype).reshape(shape)
