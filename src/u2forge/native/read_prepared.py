"""A prepared file on disk → its network, checked, its weights mapped: all processes that read it share its pages."""

from __future__ import annotations

import mmap
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from u2forge.native.prepared_header import (
    PAYLOAD_OFFSET,
    Checksum,
    NetworkTables,
    NotPreparedError,
    PreparedKey,
    parse_header,
    sections,
)

# Two read as fast as the memory of any machine that was measured.
_THREADS = 2


def read_prepared(
    path: Path, key: PreparedKey, checksum: Checksum
) -> tuple[NetworkTables, NDArray[np.uint8]]:
    """The tables, and the packed weights, read-only, beginning at a page; they stay what they are when the file is
    replaced or removed.

    Raises FileNotFoundError; NotPreparedError where the file is anything but what was written for this key; OSError.
    """
    # A pipe of that name would wait for its writer.
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotPreparedError("no regular file")
    with path.open("rb") as file:
        header = parse_header(file.read(PAYLOAD_OFFSET))
        if header.key != key:
            raise NotPreparedError("made of another model, or for other kernels")
        size = os.fstat(file.fileno()).st_size
        if size != PAYLOAD_OFFSET + header.payload_bytes:
            raise NotPreparedError(f"{size} bytes")
        weights = mapped_payload(file, header.payload_bytes)
    if checksums_of(weights, checksum) != header.checksums:
        raise NotPreparedError("damaged weights")
    return header.tables, weights


def mapped_payload(file: BinaryIO, payload_bytes: int) -> NDArray[np.uint8]:
    """The pages of an open file behind its header, read-only."""
    if payload_bytes == 0:
        return np.zeros(0, np.uint8)
    pages = mmap.mmap(file.fileno(), payload_bytes, access=mmap.ACCESS_READ, offset=PAYLOAD_OFFSET)
    return np.frombuffer(pages, np.uint8)


def checksums_of(weights: NDArray[np.uint8], checksum: Checksum) -> tuple[int, ...]:
    """The checksum of each section."""
    parts = [weights[section] for section in sections(len(weights))]
    with ThreadPoolExecutor(_THREADS) as threads:
        return tuple(threads.map(checksum, parts))
