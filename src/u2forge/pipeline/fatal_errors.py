"""Errors that end a whole run, told from those that concern one picture."""

from __future__ import annotations

import errno

from u2forge.engine.protocol import EngineInfo
from u2forge.errors import EngineError, OutputError, U2ForgeError

# Errors of the output disk as a whole: every further picture would fail in the same way.
_DISK_ERRORS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.ENODEV,
        errno.EMFILE,
    }
)


def concerns_all_pictures(error: BaseException) -> bool:
    """Whether every further picture would fail likewise."""
    if isinstance(error, OutputError):
        return isinstance(error.__cause__, OSError) and error.__cause__.errno in _DISK_ERRORS
    return not isinstance(error, Exception)


def engine_error(error: BaseException, info: EngineInfo) -> BaseException:
    """The error as one of ours: unchanged where it is, wrapped with what the engine is otherwise."""
    if isinstance(error, U2ForgeError) or not isinstance(error, Exception):
        return error
    wrapped = EngineError(
        where=f"engine {info.engine!r} on {info.device}",
        expected="an inference that succeeds",
        found=f"{type(error).__name__}: {error}",
        fix="try another engine, device or batch size",
    )
    wrapped.__cause__ = error
    return wrapped
