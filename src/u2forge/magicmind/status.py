"""Status and Code: how MagicMind programs are told that something did not work, in place of exceptions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import TypeVar

from u2forge.errors import (
    EngineError,
    FetchError,
    InputError,
    MissingDependencyError,
    ModelError,
    OutputError,
    U2ForgeError,
)
from u2forge.passes.refusal import RefusedGraphError

T = TypeVar("T")
logger = logging.getLogger("u2forge.magicmind")


class Code(Enum):
    """What kind of answer a Status is."""

    OK = 0
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15


class PreconditionError(InputError):
    """A call that came too early: something else has to be done before."""


class MissingFileError(InputError):
    """There is no such file."""


def check_there(path: Path, *, where: str, expected: str) -> None:
    """Raises MissingFileError where there is nothing of that name, nor can be: it may be too long."""
    with suppress(OSError):
        if path.exists():
            return
    raise MissingFileError(
        where=where,
        expected=expected,
        found="no such file",
        fix="check the path, which is relative to the current folder",
    )


class UnsupportedError(InputError):
    """Something that the original does and that is not to be had here."""


# The first kind that fits.
_CODES: tuple[tuple[type[U2ForgeError], Code], ...] = (
    (PreconditionError, Code.FAILED_PRECONDITION),
    (MissingFileError, Code.NOT_FOUND),
    (UnsupportedError, Code.UNIMPLEMENTED),
    (MissingDependencyError, Code.UNAVAILABLE),
    # What was asked for does not fit the network; its file is sound.
    (RefusedGraphError, Code.INVALID_ARGUMENT),
    (ModelError, Code.DATA_LOSS),
    (InputError, Code.INVALID_ARGUMENT),
    (FetchError, Code.UNAVAILABLE),
    (OutputError, Code.RESOURCE_EXHAUSTED),
    (EngineError, Code.INTERNAL),
)


class Status:
    """code: a Code; message: empty for OK, else what did not fit and how to mend it."""

    def __init__(self, code: Code = Code.OK, message: str = "") -> None:
        if not isinstance(code, Code):
            raise TypeError(
                f"Status(code, message): a Code expected, found {code!r}; write mm.Code.OUT_OF_RANGE, say"
            )
        self.code = code
        self.message = str(message)

    @staticmethod
    def OK() -> Status:
        """Success."""
        return Status()

    def ok(self) -> bool:
        """Whether it is success."""
        return self.code is Code.OK

    def __bool__(self) -> bool:
        return self.ok()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Status) and (self.code, self.message) == (other.code, other.message)

    def __hash__(self) -> int:
        return hash((self.code, self.message))

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}" if self.message else self.code.name

    def __repr__(self) -> str:
        return f"Status({self})"


def failed(error: U2ForgeError) -> Status:
    """The Status of an error of ours, which is also logged: many programs ignore what they are answered."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), Code.INTERNAL)
    status = Status(code, str(error))
    logger.error("%s", status)
    return status


def status_of(work: Callable[[], object]) -> Status:
    """OK where the work is done, else the Status of the error that it raised."""
    try:
        work()
    except U2ForgeError as error:
        return failed(error)
    return Status.OK()


def or_none(make: Callable[[], T]) -> T | None:
    """What is made, or None where an error of ours was raised, which is logged."""
    try:
        return make()
    except U2ForgeError as error:
        failed(error)
        return None
