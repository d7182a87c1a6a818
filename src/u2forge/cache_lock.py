"""One process at a time in a place of the user's cache."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from u2forge.cache_dir import ENVIRONMENT_VARIABLE
from u2forge.errors import OutputError

_logger = logging.getLogger(__name__)


@contextmanager
def cache_lock(path: Path, *, purpose: str) -> Iterator[None]:
    """Held at the lock file `path`, whose folder is made; waits for another process, and says so with `purpose`.

    Raises OutputError where the folder cannot be written.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _logger.warning("another process is %s; waiting for it", purpose)
            lock.acquire()
    except OSError as error:
        raise OutputError(
            where=f"cache folder {path.parent}",
            expected="a folder that can be written",
            found=error.strerror or str(error),
            fix=f"set ${ENVIRONMENT_VARIABLE} to a folder of yours",
        ) from error
    try:
        yield
    finally:
        lock.release()
