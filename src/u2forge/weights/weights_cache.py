"""Where fetched weights lie, whether they are still what was verified, and one writer at a time."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from u2forge.atomic_file import TEMPORARY_SUFFIX, write_atomic
from u2forge.cache_dir import cache_dir
from u2forge.cache_lock import cache_lock
from u2forge.errors import OutputError
from u2forge.weights.cards import Card, WeightsFile
from u2forge.weights.digest import sha256_of

logger = logging.getLogger(__name__)


def cached_path(wanted: Card, file: WeightsFile) -> Path:
    """Where that file of that card lies once it is fetched; it need not be there."""
    return cache_dir() / "weights" / wanted.name / file.name


def cached_file(wanted: Card) -> Path | None:
    """The first of the card's files that is in the cache with the right bytes; None where none is.

    Hashed only where size or time of change differ from those at the last verification.
    """
    for file in wanted.files:
        path = cached_path(wanted, file)
        if path.is_file() and is_verified(path, file):
            return path
    return None


def is_verified(path: Path, file: WeightsFile) -> bool:
    """Whether the bytes at `path` are the card's; a damaged file is reported in the log."""
    state = path.stat()
    if state.st_size == file.size_bytes:
        if _marker(path).is_file() and _marker(path).read_text(encoding="utf-8", errors="replace") == _seal(
            path, file
        ):
            return True
        if sha256_of(path) == file.sha256:
            remember_verified(path, file)
            return True
    logger.warning("%s is damaged: not the %d bytes of sha256 %s", path, file.size_bytes, file.sha256)
    return False


def remember_verified(path: Path, file: WeightsFile) -> None:
    """Notes size and time of change, so that the next look need not hash; nothing in a read-only cache."""
    with contextlib.suppress(OutputError):
        write_atomic(_marker(path), _seal(path, file).encode())


@contextlib.contextmanager
def locked(wanted: Card) -> Iterator[None]:
    """One process at a time in this card's folder; what a killed one left half-done there is removed.

    Raises OutputError where the folder cannot be written.
    """
    folder = cache_dir() / "weights" / wanted.name
    with cache_lock(folder / ".lock", purpose=f"fetching {wanted.name}"):
        _remove_leftovers(folder)
        yield


def _remove_leftovers(folder: Path) -> None:
    for left in folder.glob(f".*{TEMPORARY_SUFFIX}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified")


def _seal(path: Path, file: WeightsFile) -> str:
    state = path.stat()
    return f"sha256 {file.sha256} size {state.st_size} mtime_ns {state.st_mtime_ns}\n"
