"""The root error and its kinds: each says where, what was expected, what was found and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable


class U2ForgeError(Exception):
    """Root of every error that u2forge raises on purpose."""

    def __init__(self, *, where: str, expected: str, found: str, fix: str) -> None:
        super().__init__(where, expected, found, fix)
        self.where = where
        self.expected = expected
        self.found = found
        self.fix = fix

    def __str__(self) -> str:
        end = "" if self.fix.endswith("?") else "."
        return f"{self.where}: expected {self.expected}; found {self.found}. To mend: {self.fix}{end}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.where, self.expected, self.found, self.fix)


class InputError(U2ForgeError, ValueError):
    """An argument or array does not fit: wrong option, shape, dtype, path."""


class ImageError(U2ForgeError, ValueError):
    """A picture cannot be read: truncated, not a picture, over the pixel limit."""


class ModelError(U2ForgeError, ValueError):
    """A checkpoint, graph or model file is broken, unsafe or not of a kind that u2forge knows."""


class FetchError(U2ForgeError, OSError):
    """Weights could not be had from any source, or are not the expected bytes."""

    def __str__(self) -> str:
        return U2ForgeError.__str__(self)


class OutputError(U2ForgeError, OSError):
    """A result could not be written: no permission, disk full, name taken."""

    def __str__(self) -> str:
        return U2ForgeError.__str__(self)


class EngineError(U2ForgeError, RuntimeError):
    """An engine cannot do what was asked: device or precision missing, compilation or inference failed."""


class AccuracyError(U2ForgeError, ValueError):
    """A model or a result is further from its reference than its gate allows."""


class PerformanceError(U2ForgeError, ValueError):
    """A result is slower than its gate allows."""


class MissingDependencyError(U2ForgeError, ImportError):
    """An optional package is needed and not installed; the message names the extra to install."""

    def __str__(self) -> str:
        return U2ForgeError.__str__(self)


def unknown_choice(value: object, valid: Iterable[str], *, where: str) -> InputError:
    """The error of an argument that is none of the valid ones."""
    return InputError(
        where=where, expected=f"one of {', '.join(valid)}", found=repr(value), fix="choose one of them"
    )


def install_command(requirement: str, *, extra: str) -> str:
    """How to get an optional package, for the `fix` of an error: by itself, or with u2forge's extra."""
    return f"`pip install '{requirement}'` (u2forge's extra [{extra}])"


def _rebuild(kind: type[U2ForgeError], where: str, expected: str, found: str, fix: str) -> U2ForgeError:
    return kind(where=where, expected=expected, found=found, fix=fix)
