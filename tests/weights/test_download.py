"""download: breaks, resumption, redirects, wrong answers, silence; no secret shown or passed on."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
from tiny_card import ONNX_BYTES, FileServer

from u2forge.weights.download import download, without_secrets
from u2forge.weights.source_failure import SourceFailure


def downloaded(address: str, *, size_bytes: int = len(ONNX_BYTES), timeout_s: float = 5.0) -> bytes:
    return b"".join(download(address, size_bytes=size_bytes, timeout_s=timeout_s))


@pytest.fixture
def serving(cache: Path, server: FileServer) -> FileServer:
    server.files["/a.onnx"] = ONNX_BYTES
    return server


@pytest.mark.parametrize("announce_length", [True, False])
def test_a_broken_line_is_resumed(serving: FileServer, announce_length: bool) -> None:
    serving.break_off_after = 100_001
    serving.announce_length = announce_length
    assert downloaded(f"{serving.base}/a.onnx") == ONNX_BYTES
    assert [headers.get("Range") for _, headers in serving.requests] == [
        None,
        "bytes=100001-",
        "bytes=200002-",
    ]


def test_a_server_that_cannot_resume_is_a_truncated_download(serving: FileServer) -> None:
    serving.break_off_after = 1000
    serving.honour_ranges = False
    with pytest.raises(SourceFailure, match="truncated: 1000 of 300000 bytes, and the server cannot resume"):
        downloaded(f"{serving.base}/a.onnx")


def test_a_server_that_gives_nothing_more_is_a_truncated_download(serving: FileServer) -> None:
    serving.break_off_after = 0
    with pytest.raises(SourceFailure, match="truncated: 0 of 300000 bytes"):
        downloaded(f"{serving.base}/a.onnx")
    assert len(serving.requests) == 1


def test_a_server_that_gives_a_few_bytes_each_time_is_left_in_the_end(serving: FileServer) -> None:
    serving.break_off_after = 10
    with pytest.raises(SourceFailure, match="truncated: 200 of 300000 bytes"):
        downloaded(f"{serving.base}/a.onnx")


def test_a_page_in_place_of_the_file_is_refused_before_it_is_read(serving: FileServer) -> None:
    serving.files["/a.onnx"] = b"<html>sign in</html>"
    with pytest.raises(SourceFailure, match=r"not the right file: 20 bytes of \S+, expected 300000"):
        downloaded(f"{serving.base}/a.onnx")


def test_redirects_are_followed_without_the_password(serving: FileServer) -> None:
    serving.redirects["/moved"] = f"{serving.base}/a.onnx"
    address = f"{serving.base}/moved".replace("//", "//me:s%40crt@")
    assert downloaded(address) == ONNX_BYTES
    first, second = (headers for _, headers in serving.requests)
    assert first["Authorization"] == "Basic " + base64.b64encode(b"me:s@crt").decode()
    assert "Authorization" not in second


@pytest.mark.parametrize("scheme", ["file:///etc/hostname", "ftp://127.0.0.1/a", "data:,abc"])
def test_redirects_to_other_schemes_are_refused(serving: FileServer, scheme: str) -> None:
    serving.redirects["/moved"] = scheme
    with pytest.raises(SourceFailure):
        downloaded(f"{serving.base}/moved")


def test_a_loop_of_redirects_ends(serving: FileServer) -> None:
    serving.redirects["/moved"] = f"{serving.base}/moved"
    with pytest.raises(SourceFailure, match="HTTP 302"):
        downloaded(f"{serving.base}/moved")


def test_silence_ends_after_the_time_limit(serving: FileServer) -> None:
    serving.stall = True
    started = time.monotonic()
    with pytest.raises(SourceFailure, match="no answer in time"):
        downloaded(f"{serving.base}/a.onnx", timeout_s=0.3)
    assert time.monotonic() - started < 5


def test_nobody_listening_is_said_at_once(cache: Path) -> None:
    with pytest.raises(SourceFailure, match="refused"):
        # Port 9 (discard) is not served on any test machine.
        downloaded("http://127.0.0.1:9/a.onnx")


def test_a_host_that_does_not_resolve_is_named_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def fail(*arguments: object, **named: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(
        SourceFailure, match=r"the host's name cannot be resolved \(Name or service not known\)"
    ):
        downloaded("http://weights.invalid/a.onnx")


def test_the_proxy_of_the_environment_is_used(serving: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    serving.files["http://weights.invalid/a.onnx"] = ONNX_BYTES
    monkeypatch.setenv("http_proxy", serving.base)
    assert downloaded("http://weights.invalid/a.onnx") == ONNX_BYTES


def test_secrets_are_not_shown() -> None:
    assert without_secrets("https://me:pw@host:8443/a/b.onnx?sig=x#y") == "https://host:8443/a/b.onnx"
