"""The head of a prepared file: all of a network but its packed weights, as bytes that cannot be taken for others.

A preamble (magic, version of this format, length and SHA-256 of what follows), JSON, zeros to PAYLOAD_OFFSET; there the
packed weights begin. Their checksums, one a section, are the caller's: they must be faster than any hashlib has.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from u2forge.native.encode import BUFFER_COLUMNS, STEP_COLUMNS

MAGIC = b"u2forge prepared"
FORMAT_VERSION = 1
# Twenty times what U²-Net's plan takes, and a multiple of any system's pages.
PAYLOAD_OFFSET = 1 << 20
# Verified side by side; a damaged file is found out at once.
SECTION_BYTES = 32 << 20
# More than any network that fits into the 2 GiB of an ONNX file.
MAX_PAYLOAD_BYTES = 1 << 36
_PREAMBLE = struct.Struct("<16sII32s")
_MAX_ROWS = 100_000

# Name, dtype as numpy calls it, sizes with None where any fits: what the graph says of an input or output.
FoundTensor = tuple[str, str, tuple[int | None, ...]]
Checksum = Callable[[NDArray[np.uint8]], int]


class NotPreparedError(ValueError):
    """The bytes are no prepared file, or not the one that is wanted."""


@dataclass(frozen=True)
class PreparedKey:
    """What a prepared file is made of: the model's content, the kernels that read it, what they compute in."""

    content_sha256: str
    kernels_version: int
    precision: str


@dataclass(frozen=True, eq=False)
class NetworkTables:
    """A plan as the kernels take it. names: one a step; inputs, outputs: the graph's, in the order of their indices."""

    precision: str
    buffers: NDArray[np.int64]
    steps: NDArray[np.int64]
    names: tuple[str, ...]
    inputs: tuple[FoundTensor, ...]
    outputs: tuple[FoundTensor, ...]


@dataclass(frozen=True, eq=False)
class PreparedHeader:
    """checksums: of each section of the packed weights."""

    key: PreparedKey
    tables: NetworkTables
    payload_bytes: int
    checksums: tuple[int, ...]


def header_bytes(header: PreparedHeader) -> bytes:
    """PAYLOAD_OFFSET bytes. Raises NotPreparedError where they do not suffice."""
    tables = header.tables
    values = {
        "content_sha256": header.key.content_sha256,
        "kernels_version": header.key.kernels_version,
        "precision": header.key.precision,
        "buffers": tables.buffers.tolist(),
        "steps": tables.steps.tolist(),
        "names": tables.names,
        "inputs": tables.inputs,
        "outputs": tables.outputs,
        "payload_bytes": header.payload_bytes,
        "checksums": header.checksums,
    }
    text = json.dumps(values, separators=(",", ":")).encode("ascii")
    room = PAYLOAD_OFFSET - _PREAMBLE.size
    if len(text) > room:
        raise NotPreparedError(f"a plan of {len(text)} bytes, {room} at most")
    body = text.ljust(room, b"\0")
    return _PREAMBLE.pack(MAGIC, FORMAT_VERSION, len(text), hashlib.sha256(body).digest()) + body


def parse_header(data: bytes) -> PreparedHeader:
    """The header in the first PAYLOAD_OFFSET bytes of a file. Raises NotPreparedError, whatever the bytes are."""
    if len(data) != PAYLOAD_OFFSET:
        raise NotPreparedError("cut short")
    magic, version, length, digest = _PREAMBLE.unpack_from(data)
    if magic != MAGIC or version != FORMAT_VERSION:
        raise NotPreparedError(f"no prepared file of version {FORMAT_VERSION}")
    body = memoryview(data)[_PREAMBLE.size :]
    if hashlib.sha256(body).digest() != digest or length > len(body):
        raise NotPreparedError("a damaged header")
    try:
        return _header(json.loads(bytes(body[:length])))
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise NotPreparedError(f"a header of another kind: {error}"[:200]) from error


def sections(payload_bytes: int) -> list[slice]:
    """The sections of that many bytes."""
    return [
        slice(first, min(first + SECTION_BYTES, payload_bytes))
        for first in range(0, payload_bytes, SECTION_BYTES)
    ]


def _header(values: dict[str, Any]) -> PreparedHeader:
    key = PreparedKey(
        _of(str, values["content_sha256"]),
        _of(int, values["kernels_version"]),
        _of(str, values["precision"]),
    )
    steps = _table(values["steps"], STEP_COLUMNS)
    names = tuple(_of(str, name) for name in _of(list, values["names"]))
    payload_bytes = _of(int, values["payload_bytes"])
    checksums = tuple(_of(int, value) for value in _of(list, values["checksums"]))
    if len(names) != len(steps) or not 0 <= payload_bytes <= MAX_PAYLOAD_BYTES:
        raise ValueError("sizes that contradict each other")
    if len(checksums) != len(sections(payload_bytes)):
        raise ValueError("another number of checksums")
    tables = NetworkTables(
        precision=key.precision,
        buffers=_table(values["buffers"], BUFFER_COLUMNS),
        steps=steps,
        names=names,
        inputs=tuple(map(_tensor, _of(list, values["inputs"]))),
        outputs=tuple(map(_tensor, _of(list, values["outputs"]))),
    )
    return PreparedHeader(key, tables, payload_bytes, checksums)


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{kind.__name__} expected, {type(value).__name__} found")
    return value


def _table(rows: Any, columns: int) -> NDArray[np.int64]:
    rows = _of(list, rows)
    if len(rows) > _MAX_ROWS or any(len(_of(list, row)) != columns for row in rows):
        raise ValueError(f"a table of {columns} columns expected")
    for row in rows:
        for number in row:
            _of(int, number)
    return np.array(rows, np.int64).reshape(len(rows), columns)


def _tensor(values: Any) -> FoundTensor:
    name, dtype, shape = _of(list, values)
    sizes = (None if size is None else _of(int, size) for size in _of(list, shape))
    return _of(str, name), _of(str, dtype), tuple(sizes)
