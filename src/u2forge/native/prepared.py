"""A model file → its network, ready for the kernels: out of the cache where it is there and whole, else made and kept.

Like engine/compiled_cache.py: one writer at a time, the files used last are kept, and a cache is no reason to fail.
"""

from __future__ import annotations

import gc
import logging
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from u2forge.errors import OutputError
from u2forge.leftovers import remove_leftovers
from u2forge.model_file.read import ModelFile
from u2forge.native.layers import Layer, layers_of
from u2forge.native.prepared_header import (
    Checksum,
    NetworkTables,
    NotPreparedError,
    PreparedKey,
)
from u2forge.native.read_prepared import read_prepared

if TYPE_CHECKING:
    from u2forge.native.compile_plan import CompiledPlan

_log = logging.getLogger(__name__)

# The full network takes 550 MB in float32, half of that otherwise: in all about 2 GB at most.
KEPT_FILES = 4
# Preparing takes some three seconds.
_LOCK_SECONDS = 60.0
_LOCK_NAME = ".lock"
_SUFFIX = ".prepared"

Found = tuple[NetworkTables, NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class Prepared(NetworkTables):
    """A network as the kernels take it. weights: uint8, read-only, beginning at a page; mapped from a file where there
    is a cache, so that processes share them."""

    weights: NDArray[np.uint8]

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """What each step is."""
        return layers_of(self.names, self.steps, precision=self.precision)


def prepared_network(
    model_file: ModelFile,
    *,
    precision: str,
    cache_folder: Path | None,
    kernels_version: int,
    checksum: Checksum,
) -> Prepared:
    """The network of the model file, its weights packed for kernels of that version to compute in that precision.

    precision: float32, bfloat16 or int16. cache_folder: None to keep nothing. checksum: 64 bits of an array of bytes.
    Raises EngineError on a graph that the kernels do not run, ModelError on one that is broken.
    """
    key = PreparedKey(model_file.content_sha256, kernels_version, precision)
    if cache_folder is None:
        made = _in_memory(model_file, precision)
    else:
        path = cache_folder / f"{key.content_sha256[:32]}-{precision}-{kernels_version}{_SUFFIX}"
        # Before the lock: what is whole can be read by many at once, and where nothing can be written.
        found = _found(path, key, checksum)
        if found is not None:
            return _prepared(found)
        made = _made(path, key, checksum, model_file)
    # Nodes and values of the graph refer to each other: else its weights would stay until the next collection.
    gc.collect()
    return _prepared(made)


def planned_layers(model_file: ModelFile, precision: str) -> tuple[Layer, ...]:
    """What each step would be, without packing a weight. Raises as prepared_network does of the graph."""
    return _compiled(model_file, precision).layers


def _prepared(found: Found) -> Prepared:
    tables, weights = found
    return Prepared(**{field.name: getattr(tables, field.name) for field in fields(tables)}, weights=weights)


def _found(path: Path, key: PreparedKey, checksum: Checksum) -> Found | None:
    try:
        found = read_prepared(path, key, checksum)
    except FileNotFoundError:
        return None
    except NotPreparedError as error:
        _log.warning(
            "the prepared weights %s are not what was written (%s): they are made again", path, error
        )
        return None
    except (OSError, ValueError) as error:
        _log.warning("the prepared weights %s cannot be read: %s", path, error)
        return None
    with suppress(OSError):  # a cache of someone else's
        path.touch()
    return found


def _made(path: Path, key: PreparedKey, checksum: Checksum, model_file: ModelFile) -> Found:
    from u2forge.native.write_prepared import write_prepared

    lock = FileLock(path.parent / _LOCK_NAME)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=_LOCK_SECONDS)
    except (OSError, Timeout, NotImplementedError) as error:
        return _unkept(path, error, _compiled(model_file, key.precision))
    try:
        # Another process may have made them meanwhile.
        with suppress(OSError, NotPreparedError):
            return read_prepared(path, key, checksum)
        compiled = _compiled(model_file, key.precision)
        with suppress(OSError):
            remove_leftovers([path.parent])
            path.unlink(missing_ok=True)
        try:
            written = write_prepared(path, compiled, key, checksum)
        except (OutputError, NotPreparedError) as error:
            return _unkept(path, error, compiled)
        _remove_oldest(path)
        return written
    finally:
        lock.release()


def _unkept(path: Path, error: Exception, compiled: CompiledPlan) -> Found:
    _log.warning("no prepared weights are kept in %s: %s", path.parent, error)
    return _packed(compiled)


def _in_memory(model_file: ModelFile, precision: str) -> Found:
    return _packed(_compiled(model_file, precision))


def _packed(compiled: CompiledPlan) -> Found:
    from u2forge.native.compile_plan import packed_in_memory
    from u2forge.native.tables import network_tables

    plan, weights = packed_in_memory(compiled)
    weights.flags.writeable = False
    return network_tables(compiled, plan), weights


def _compiled(model_file: ModelFile, precision: str) -> CompiledPlan:
    """The only place that parses the graph and its weights: a second start does without."""
    from u2forge.graph.read_onnx import read_onnx
    from u2forge.native.compile_plan import compile_plan
    from u2forge.quantize.native_ranges import read_native_ranges

    model = read_onnx(model_file.path)
    ranges = read_native_ranges(model) if precision == "int16" else None
    return compile_plan(model, precision, ranges)


def _remove_oldest(newest: Path) -> None:
    with suppress(OSError):
        files = [path for path in newest.parent.glob(f"*{_SUFFIX}") if path != newest]
        files.sort(key=lambda path: path.stat().st_mtime_ns)
        for old in files[: max(0, len(files) - KEPT_FILES + 1)]:
            old.unlink(missing_ok=True)
