"""A small card in place of the official ones, an empty cache, and a file server on the loopback address."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from tiny_card import ONNX_BYTES, PTH_BYTES, FileServer, Handler, weights_file

from u2forge.weights import cards
from u2forge.weights.cards import Card


@pytest.fixture
def server() -> Iterator[FileServer]:
    state = FileServer()

    handler = type("BoundHandler", (Handler,), {"state": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        state.base = f"http://127.0.0.1:{running.server_port}"
        yield state
        state.silent.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and no proxy between the tests and their server."""
    monkeypatch.setenv("U2FORGE_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def tiny(cache: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Card:
    """A card `tiny` whose release address is the server's /release/tiny.onnx, which is not there yet."""
    found = Card(
        name="tiny",
        architecture="u2netp",
        title="for tests",
        files=(
            weights_file(ONNX_BYTES, "tiny.onnx", address=f"{server.base}/release/tiny.onnx"),
            weights_file(PTH_BYTES, "tiny.pth", by_hand="https://example.org/by-hand"),
        ),
    )
    monkeypatch.setitem(cards.CARDS, "tiny", found)
    return found
