"""Status and Code: how MagicMind programs are told that something did not work, in place of exceptions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
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


# The first kind that fits; a missing file is NOT_FOUND where the caller says so.
_CODES: tuple[tuple[type[U2ForgeError], Code], ...] = (
    (MissingDependencyError, Code.UNAVAILABLE),
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


def failed(error: U2ForgeError, code: Code | None = None) -> Status:
    """The Status of an error of ours, which is also logged: many programs ignore what they are answered."""
    found = code or next((code for kind, code in _CODES if isinstance(error, kind)), Code.INTERNAL)
    status = Status(found, str(error))
    logger.error("%s", status)
    return status


def status_of(work: Callable[[], object]) -> Status:
    """OK where the work is done, else the Status of the error that it raised."""
    try:
        work()
    except U2ForgeError as error:
        return failed(error, code_of(error))
    return Status.OK()


def or_none(make: Callable[[], T]) -> T | None:
    """What is made, or None where an error of ours was raised, which is logged."""
    try:
        return make()
    except U2ForgeError as error:
        failed(error, code_of(error))
        return None


class PreconditionError(InputError):
    """A call that came too early: something else has to be done before."""


class MissingFileError(InputError):
    """There is no such file."""


class UnsupportedError(InputError):
    """Something that the original does and that is not to be had here."""


def code_of(error: U2ForgeError) -> Code | None:
    """The code of the kinds of error that only programs of MagicMind meet."""
    if isinstance(error, PreconditionError):
        return Code.FAILED_PRECONDITION
    if isinstance(error, MissingFileError):
        return Code.NOT_FOUND
    if isinstance(error, UnsupportedError):
        return Code.UNIMPLEMENTED
    return None
