"""A compiled plan → a prepared file, packed straight into it, and its network with the file's pages as weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from u2forge.atomic_file import atomic_path
from u2forge.native.compile_plan import CompiledPlan
from u2forge.native.prepared_header import (
    PAYLOAD_OFFSET,
    Checksum,
    NetworkTables,
    PreparedHeader,
    PreparedKey,
    header_bytes,
)
from u2forge.native.read_prepared import checksums_of, mapped_payload
from u2forge.native.tables import network_tables


def write_prepared(
    path: Path, compiled: CompiledPlan, key: PreparedKey, checksum: Checksum
) -> tuple[NetworkTables, NDArray[np.uint8]]:
    """The network's tables and its weights, which are the pages of the file that was written, whole or not at all.

    Raises OutputError where the disk is full or the folder cannot be written, NotPreparedError where the plan is too
    long, and what packing raises.
    """
    with atomic_path(path) as temporary, temporary.open("w+b") as file:
        _reserve(file, PAYLOAD_OFFSET + compiled.size_bytes)

        def write(offset: int, array: NDArray[np.generic]) -> None:
            file.seek(PAYLOAD_OFFSET + offset)
            file.write(np.ascontiguousarray(array).data)

        plan = compiled.pack(write)
        file.flush()
        tables = network_tables(compiled, plan)
        weights = mapped_payload(file, compiled.size_bytes)
        header = PreparedHeader(key, tables, compiled.size_bytes, checksums_of(weights, checksum))
        file.seek(0)
        file.write(header_bytes(header))
        file.flush()
    return tables, weights


def _reserve(file: BinaryIO, size_bytes: int) -> None:
    """Makes the file that long, all zeros; a full disk shows before anything is packed, where the system can tell."""
    file.truncate(size_bytes)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size_bytes)
