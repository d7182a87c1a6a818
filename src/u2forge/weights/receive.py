"""A stream of bytes from any source → a verified file: never too many bytes, never the wrong ones."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from u2forge.weights.cards import WeightsFile
from u2forge.weights.source_failure import SourceFailure

if TYPE_CHECKING:
    from tqdm import tqdm


def receive(
    blocks: Iterable[bytes], wanted: WeightsFile, destination: Path, *, progress: bool = False
) -> None:
    """Writes `blocks` to `destination`, and verifies size and sha256 on the way.

    progress: a bar in bytes on stderr. What reading raises passes through; OSError is the disk's.
    Raises SourceFailure where the bytes are fewer than, more than or other than the expected ones.
    """
    digest = hashlib.sha256()
    received = 0
    with destination.open("wb") as file, _bar(wanted, shown=progress) as bar:
        for block in blocks:
            received += len(block)
            if received > wanted.size_bytes:
                raise SourceFailure(f"not the right file: larger than the expected {wanted.size_bytes} bytes")
            digest.update(block)
            file.write(block)
            bar.update(len(block))
    if received < wanted.size_bytes:
        raise SourceFailure(f"truncated: {received} of {wanted.size_bytes} bytes")
    if digest.hexdigest() != wanted.sha256:
        raise SourceFailure(
            f"not the right file: its sha256 is {digest.hexdigest()}, expected {wanted.sha256}"
        )


def _bar(wanted: WeightsFile, *, shown: bool) -> tqdm[None]:
    from tqdm import tqdm

    return tqdm(
        total=wanted.size_bytes,
        desc=wanted.name,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=not shown,
        # A source that fails at once, or a small file, shows no bar.
        delay=0.3,
        dynamic_ncols=True,
    )
