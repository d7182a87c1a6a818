"""Atomic writes: a file appears under its name whole, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from u2forge.errors import OutputError, U2ForgeError

TEMPORARY_SUFFIX = ".u2forge-part"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a fresh temporary path beside `path`, renamed to it on success and removed on any failure.

    Missing folders above it are made. Raises OutputError where the disk is full or the folder unwritable.
    """
    # Cut in bytes, as file systems count: a name of 255 would leave no room for the rest.
    stem = os.fsencode(path.name)[:120].decode(errors="ignore")
    temporary = path.with_name(f".{stem}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the system says while `path` is written into an OutputError; errors of ours pass as they are."""
    try:
        yield
    except OSError as error:
        if isinstance(error, U2ForgeError):
            raise
        raise OutputError(
            where=f"writing {path}",
            expected="a writable folder with space left",
            found=error.strerror or str(error),
            fix="free some space, or choose another output folder",
        ) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Writes all of `data` under the name `path`, or nothing. Raises OutputError."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_hindrance(path: Path) -> str:
    """What keeps the file from being written, missing folders made, as far as can be told before; empty: nothing."""
    if path.is_dir():
        return "a folder of that name"
    nearest = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not nearest.is_dir():
        return f"{nearest}, which is no folder"
    return "" if os.access(nearest, os.W_OK | os.X_OK) else f"no right to write to {nearest}"
