"""fetch: official weights by name, into the user's cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from u2forge.weights.fetch import fetch_weights


def fetch(
    name: str,
    *,
    from_file: str | Path | None = None,
    source: Sequence[str] = (),
    progress: bool = False,
) -> Path:
    """The path of the official weights `name`, verified; from the cache where they are there already.

    source: folders, files or addresses tried first; from_file: a copy to import instead of any source.
    Raises InputError on an unknown name, FetchError with the reason of each source where none delivers.
    """
    return fetch_weights(
        name,
        from_file=None if from_file is None else Path(from_file).expanduser(),
        sources=source,
        progress=progress,
    )
