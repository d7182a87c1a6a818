"""The pairs of a data set that an evaluation takes, and two digests that tell one choice from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from u2forge.evaluate.datasets import Pair


def every_kth(pairs: Sequence[Pair], limit: int | None) -> Sequence[Pair]:
    """At most `limit` pairs, spread evenly from the first on; all where limit is None or not below their number."""
    if limit is None or limit >= len(pairs):
        return pairs
    return [pairs[index * len(pairs) // limit] for index in range(limit)]


def pairs_digest(pairs: Sequence[Pair]) -> str:
    """Of names and sizes in pixels: the same wherever, and however compressed, the data set lies."""
    return _digest(f"{pair.name}\n{pair.width} {pair.height}\n" for pair in pairs)


def files_digest(pairs: Sequence[Pair]) -> str:
    """Of names, bytes and times of change: another as soon as a file is."""
    return _digest(
        f"{pair.name}\n{status.st_size} {status.st_mtime_ns}\n"
        for pair in pairs
        for status in (pair.photo.stat(), pair.mask.stat())
    )


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()
