"""Errors: one root, a builtin kind each, all four parts in the words, and they survive another process."""

from __future__ import annotations

import pickle

import pytest

from u2forge.cli.program import EXIT_CODES
from u2forge.errors import (
    AccuracyError,
    EngineError,
    FetchError,
    ImageError,
    InputError,
    MissingDependencyError,
    ModelError,
    OutputError,
    PerformanceError,
    U2ForgeError,
)

KINDS: dict[type[U2ForgeError], type[Exception]] = {
    InputError: ValueError,
    ImageError: ValueError,
    ModelError: ValueError,
    FetchError: OSError,
    OutputError: OSError,
    EngineError: RuntimeError,
    MissingDependencyError: ImportError,
    AccuracyError: ValueError,
    PerformanceError: ValueError,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_message_has_all_four_parts(kind: type[U2ForgeError]) -> None:
    error = kind(where="net.onnx", expected="a graph", found="a poem", fix="export it again")
    assert str(error) == "net.onnx: expected a graph; found a poem. To mend: export it again."
    assert isinstance(error, KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling(kind: type[U2ForgeError]) -> None:
    error = kind(where="a", expected="b", found="c", fix="d")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)


def test_every_kind_has_an_exit_code_of_its_own() -> None:
    assert set(EXIT_CODES) == set(KINDS)
    assert len(set(EXIT_CODES.values())) == len(KINDS)
    assert not set(EXIT_CODES.values()) & {0, 1, 130}
