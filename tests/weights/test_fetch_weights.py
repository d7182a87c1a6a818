"""fetch_weights: order of sources, cache, import, and what the user reads when nothing delivers."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tiny_card import ONNX_BYTES, PTH_BYTES, FileServer

from u2forge.errors import FetchError, InputError, OutputError
from u2forge.weights import sources, weights_cache
from u2forge.weights.cards import Card, card
from u2forge.weights.digest import sha256_of
from u2forge.weights.fetch import fetch_weights


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# The cache


def test_the_release_address_is_used_and_the_second_time_the_cache(
    tiny: Card, server: FileServer, cache: Path
) -> None:
    server.files["/release/tiny.onnx"] = ONNX_BYTES
    path = fetch_weights("tiny")
    assert path == cache / "weights" / "tiny" / "tiny.onnx"
    assert path.read_bytes() == ONNX_BYTES
    assert fetch_weights("tiny") == path
    assert server.asked() == ["/release/tiny.onnx"]
    assert names_in(path.parent) == {"tiny.onnx", "tiny.onnx.verified", ".lock"}


def test_a_verified_file_is_not_hashed_again(
    tiny: Card, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/release/tiny.onnx"] = ONNX_BYTES
    fetch_weights("tiny")
    monkeypatch.setattr(weights_cache, "sha256_of", lambda path: pytest.fail("hashed again"))
    fetch_weights("tiny")


def test_a_touched_file_is_hashed_once_and_kept(
    tiny: Card, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/release/tiny.onnx"] = ONNX_BYTES
    path = fetch_weights("tiny")
    os.utime(path, ns=(1, 1))
    assert fetch_weights("tiny") == path
    monkeypatch.setattr(weights_cache, "sha256_of", lambda path: pytest.fail("hashed again"))
    fetch_weights("tiny")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b + b"\0"]
)
def test_a_damaged_file_is_noticed_and_fetched_again(
    tiny: Card, server: FileServer, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    server.files["/release/tiny.onnx"] = ONNX_BYTES
    path = fetch_weights("tiny")
    path.write_bytes(damage(ONNX_BYTES))  # type: ignore[operator]
    os.utime(path, ns=(1, 1))
    with caplog.at_level(logging.WARNING):
        assert fetch_weights("tiny").read_bytes() == ONNX_BYTES
    assert "tiny.onnx is damaged" in caplog.text


def test_a_damaged_file_without_a_source_is_not_used(tiny: Card, cache: Path) -> None:
    path = cache / "weights" / "tiny" / "tiny.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(len(ONNX_BYTES)))
    with pytest.raises(FetchError):
        fetch_weights("tiny")


def test_a_cache_that_cannot_be_written_still_serves_what_it_has(
    tiny: Card, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cache / "weights" / "tiny" / "tiny.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(ONNX_BYTES)

    def refuse(*arguments: object) -> None:
        raise OutputError(where="w", expected="e", found="f", fix="x")

    monkeypatch.setattr(weights_cache, "write_atomic", refuse)
    assert fetch_weights("tiny") == path


def test_a_cache_that_cannot_be_made_names_the_variable(
    tiny: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("U2FORGE_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"set \$U2FORGE_CACHE to a folder of yours"):
        fetch_weights("tiny")


def test_what_a_killed_fetch_left_is_removed(tiny: Card, server: FileServer, cache: Path) -> None:
    server.files["/release/tiny.onnx"] = ONNX_BYTES
    folder = cache / "weights" / "tiny"
    (folder / ".tiny.onnx.1-ab.u2forge-part.package").mkdir(parents=True)
    (folder / ".tiny.onnx.1-ab.u2forge-part").write_bytes(b"half")
    fetch_weights("tiny")
    assert names_in(folder) == {"tiny.onnx", "tiny.onnx.verified", ".lock"}


def test_two_at_once_download_once(tiny: Card, server: FileServer) -> None:
    server.files["/release/tiny.onnx"] = ONNX_BYTES
    start = threading.Barrier(4)

    def fetch() -> bytes:
        start.wait()
        return fetch_weights("tiny").read_bytes()

    with ThreadPoolExecutor(4) as pool:
        results = [task.result() for task in [pool.submit(fetch) for _ in range(4)]]
    assert results == [ONNX_BYTES] * 4
    assert len(server.requests) == 1


def test_a_full_disk_is_said_to_be_one_and_ends_the_search(
    tiny: Card, server: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/mirror/tiny.onnx"] = ONNX_BYTES

    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sources, "receive", full)
    with pytest.raises(OutputError, match="No space left on device"):
        fetch_weights("tiny", sources=[f"{server.base}/mirror"])
    assert server.requests == []
    assert names_in(cache / "weights" / "tiny") == {".lock"}


# Configured sources


def test_a_folder_is_used_before_any_address(tiny: Card, server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "tiny.onnx").write_bytes(ONNX_BYTES)
    for source in (tmp_path / "mine", tmp_path / "mine" / "tiny.onnx", (tmp_path / "mine").as_uri()):
        path = fetch_weights("tiny", sources=[str(source)])
        assert path.read_bytes() == ONNX_BYTES
        path.unlink()
    assert server.requests == []


def test_another_cache_or_another_format_serves_as_source(tiny: Card, tmp_path: Path) -> None:
    (tmp_path / "weights" / "tiny").mkdir(parents=True)
    (tmp_path / "weights" / "tiny" / "tiny.pth").write_bytes(PTH_BYTES)
    path = fetch_weights("tiny", sources=[str(tmp_path / "weights")])
    assert (path.name, path.read_bytes()) == ("tiny.pth", PTH_BYTES)
    assert fetch_weights("tiny") == path, "offline, the .pth serves as well"


def test_a_file_under_any_name_serves_as_source(tiny: Card, tmp_path: Path) -> None:
    (tmp_path / "download(1)").write_bytes(PTH_BYTES)
    assert fetch_weights("tiny", sources=[str(tmp_path / "download(1)")]).read_bytes() == PTH_BYTES


@pytest.mark.parametrize("inside", ["/mirror", "/mirror/", "/mirror/tiny.onnx", "/mirror?token=secret"])
def test_a_mirror_is_used_by_folder_or_by_file(tiny: Card, server: FileServer, inside: str) -> None:
    server.files["/mirror/tiny.onnx"] = ONNX_BYTES
    assert fetch_weights("tiny", sources=[server.base + inside]).read_bytes() == ONNX_BYTES
    assert [path.partition("?")[0] for path in server.asked()] == ["/mirror/tiny.onnx"]


def test_sources_are_tried_in_order_until_one_delivers(
    tiny: Card, server: FileServer, tmp_path: Path
) -> None:
    server.files = {"/bad/tiny.onnx": bytes(len(ONNX_BYTES)), "/release/tiny.onnx": ONNX_BYTES}
    path = fetch_weights(
        "tiny", sources=[str(tmp_path / "absent"), f"{server.base}/bad", f"{server.base}/missing"]
    )
    assert path.read_bytes() == ONNX_BYTES
    assert server.asked() == ["/bad/tiny.onnx", "/missing/tiny.onnx", "/release/tiny.onnx"]


@pytest.mark.parametrize("source", ["ftp://host/tiny.onnx", "s3://bucket/tiny.onnx", "http:///tiny.onnx"])
def test_another_scheme_is_refused_at_once(tiny: Card, server: FileServer, source: str) -> None:
    with pytest.raises(InputError, match="starts with http://, https:// or file://"):
        fetch_weights("tiny", sources=[source])
    assert server.requests == []


# Nothing delivers


def test_every_source_is_listed_with_its_reason_and_how_to_mend(
    tiny: Card, server: FileServer, cache: Path, tmp_path: Path
) -> None:
    server.files["/wrong/tiny.onnx"] = bytes(len(ONNX_BYTES))
    configured = [str(tmp_path / "absent" / "tiny.onnx"), f"{server.base}/wrong"]
    with pytest.raises(FetchError) as caught:
        fetch_weights("tiny", sources=configured)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("weights 'tiny': expected tiny.onnx (300000 bytes, sha256 ")
    assert lines[0].endswith("from one of 3 source(s); found none that delivers it:")
    assert lines[1] == f"  - {configured[0]}: No such file or directory"
    served = hashlib.sha256(bytes(len(ONNX_BYTES))).hexdigest()
    assert lines[2] == (
        f"  - {server.base}/wrong/tiny.onnx: not the right file: its sha256 is {served},"
        f" expected {tiny.files[0].sha256}"
    )
    release = f"  - {server.base}/release/tiny.onnx: HTTP 404 Not Found. To mend: get tiny.onnx"
    assert lines[3].startswith(release)
    assert "`u2forge fetch tiny --from FILE`" in str(caught.value)
    assert "tiny.pth from https://example.org/by-hand" in str(caught.value)
    assert "$U2FORGE_WEIGHTS" in str(caught.value)
    assert names_in(cache / "weights" / "tiny") == {".lock"}


def test_an_unknown_name_is_an_input_error(tiny: Card) -> None:
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        fetch_weights("tinny")


def test_the_release_address_gives_way_in_seconds() -> None:
    assert sources.RELEASE_TIMEOUT_S <= 10


# Importing a file


@pytest.mark.parametrize(("content", "name"), [(ONNX_BYTES, "tiny.onnx"), (PTH_BYTES, "tiny.pth")])
def test_any_format_of_the_card_is_imported_under_its_own_name(
    tiny: Card, server: FileServer, tmp_path: Path, content: bytes, name: str
) -> None:
    (tmp_path / "any name").write_bytes(content)
    path = fetch_weights("tiny", from_file=tmp_path / "any name")
    assert (path.name, path.read_bytes()) == (name, content)
    assert fetch_weights("tiny", from_file=tmp_path / "any name") == path
    assert server.requests == []


def test_a_wrong_file_is_refused_with_what_was_expected(tiny: Card, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"other")
    with pytest.raises(FetchError) as caught:
        fetch_weights("tiny", from_file=tmp_path / "other.onnx")
    text = str(caught.value)
    assert f"expected {tiny.files[0]} or {tiny.files[1]}; found 5 bytes, sha256 d9298a10d1b07358" in text
    assert "weights of your own need no import" in text
    assert not (cache / "weights" / "tiny" / "tiny.onnx").exists()


def test_a_copy_cut_short_is_said_to_be_one(tiny: Card, tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(ONNX_BYTES[:1000])
    with pytest.raises(FetchError, match=r"found 1000 bytes.*the copy looks cut short"):
        fetch_weights("tiny", from_file=tmp_path / "tiny.onnx")


def test_a_file_of_another_card_is_recognised(tiny: Card, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(ONNX_BYTES)
    with pytest.raises(
        FetchError, match=r"which is tiny\.onnx\. To mend: run `u2forge fetch tiny --from .*x\.onnx`"
    ):
        fetch_weights("u2net", from_file=tmp_path / "x.onnx")


def test_a_file_that_is_not_there_is_an_input_error(tiny: Card, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"found nothing there\. To mend: give the path of tiny\.onnx or tiny\.pth"
    ):
        fetch_weights("tiny", from_file=tmp_path / "absent")
    with pytest.raises(InputError, match="found a folder"):
        fetch_weights("tiny", from_file=tmp_path)


# Progress and imports


def test_progress_goes_to_stderr_only_where_asked(
    tiny: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.onnx").write_bytes(ONNX_BYTES)
    for progress in (False, True):
        fetch_weights("tiny", sources=[str(tmp_path)], progress=progress).unlink()
        captured = capsys.readouterr()
        assert captured.out == ""
        if not progress:
            assert captured.err == ""


def test_the_module_imports_nothing_heavy() -> None:
    heavy = ("numpy", "torch", "onnx", "tqdm")
    code = f"import sys, u2forge.weights.fetch; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.weights
def test_the_official_weights_are_the_card_s(u2net_onnx: Path) -> None:
    file = card("u2net").files[0]
    assert u2net_onnx.stat().st_size == file.size_bytes
    assert sha256_of(u2net_onnx) == file.sha256
