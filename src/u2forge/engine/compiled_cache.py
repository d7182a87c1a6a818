"""Compiled models on disk, each beside its digest: what an engine reads back is what it wrote, whole."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from u2forge.atomic_file import write_atomic
from u2forge.errors import OutputError
from u2forge.weights.digest import sha256_of

_log = logging.getLogger(__name__)

# The full network takes 176 MB a time: in all about 0.7 GB at most.
KEPT_MODELS = 4
_LOCK_SECONDS = 60.0
_DIGEST_SUFFIX = ".sha256"
_MODEL_SUFFIX = ".blob"
_LOCK_NAME = ".lock"


@contextmanager
def compiled_model_folder(root: Path, key: str) -> Iterator[Path | None]:
    """Yields the folder `root`/`key` for an engine to read and write compiled models in, for one process at a time.

    Before: a file in it whose digest is missing or wrong is removed; engines trust what they find, and a flipped
    bit gives wrong masks without a word. After: what was written gets its digest, an older model in it goes, and of
    all keys the KEPT_MODELS used last are kept. Yields None, with a warning in the log, where the folder cannot
    be used: a cache is no reason to fail.
    """
    from filelock import FileLock, Timeout

    try:
        folder = root / key
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / _LOCK_NAME)
        lock.acquire(timeout=_LOCK_SECONDS)
    except (OSError, Timeout, NotImplementedError) as error:
        _log.warning("no compiled models are kept in %s: %s", root, error)
        yield None
        return
    try:
        before = _checked(folder)
        yield None if before is None else folder
        if before is not None:
            _seal(root, folder, before)
    finally:
        lock.release()


def _checked(folder: Path) -> dict[Path, tuple[int, int]] | None:
    """The whole files and their state, the others removed; None where a bad one cannot be removed."""
    try:
        files = {}
        for path in _files(folder):
            if _noted_digest(path) == sha256_of(path):
                files[path] = _state(path)
                continue
            _log.warning("the compiled model %s is not what was written: it is made again", path)
            path.unlink()
        return files
    except OSError as error:
        _log.warning("no compiled models are used from %s: %s", folder, error)
        return None


def _seal(root: Path, folder: Path, before: dict[Path, tuple[int, int]]) -> None:
    """Notes the digest of what was written since, and removes what that replaces."""
    try:
        written = [path for path in _files(folder) if before.get(path) != _state(path)]
        for path in written:
            write_atomic(_digest_path(path), sha256_of(path).encode())
        # Other files, such as a GPU's kernels, belong to the model and stay.
        models = {path for path in written if path.suffix == _MODEL_SUFFIX}
        for path in before if models else ():
            if path.suffix == _MODEL_SUFFIX and path not in models:
                path.unlink(missing_ok=True)
                _digest_path(path).unlink(missing_ok=True)
        folder.touch()
    except (OSError, OutputError) as error:
        _log.warning("no digest of the compiled model in %s was kept: %s", folder, error)
    with suppress(OSError):
        folders = sorted(
            (path for path in root.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime_ns
        )
        for old in folders[:-KEPT_MODELS]:
            shutil.rmtree(old, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix != _DIGEST_SUFFIX and not path.name.startswith(".")
    )


def _digest_path(path: Path) -> Path:
    return path.with_name(path.name + _DIGEST_SUFFIX)


def _noted_digest(path: Path) -> str | None:
    try:
        return _digest_path(path).read_text("ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
