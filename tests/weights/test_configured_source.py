"""The place in the environment serves every verb, behind those that a call names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_card import ONNX_BYTES, weights_file

from u2forge.errors import FetchError
from u2forge.weights.cards import Card
from u2forge.weights.fetch import fetch_weights


@pytest.fixture(autouse=True)
def _tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = Card("tiny", "u2netp", "a small one", files=(weights_file(ONNX_BYTES, "tiny.onnx"),))
    monkeypatch.setattr("u2forge.weights.fetch.card", lambda name: tiny)
    monkeypatch.setenv("U2FORGE_CACHE", str(tmp_path / "cache"))


def test_the_configured_place_delivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "tiny.onnx").write_bytes(ONNX_BYTES)
    monkeypatch.setenv("U2FORGE_WEIGHTS", str(tmp_path / "mirror"))
    assert fetch_weights("tiny").read_bytes() == ONNX_BYTES


@pytest.mark.parametrize("named", [[], ["first"]])
def test_it_comes_behind_the_places_that_a_call_names(
    named: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("U2FORGE_WEIGHTS", str(tmp_path / "mirror"))
    with pytest.raises(FetchError) as caught:
        fetch_weights("tiny", sources=[str(tmp_path / name) for name in named])
    failures = [line for line in str(caught.value).splitlines() if line.startswith("  - ")]
    assert [name for line in failures for name in ("first", "mirror") if name in line] == [*named, "mirror"]
