"""What the tests of fetching share: the bytes of a small card, and a file server that can misbehave."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import numpy as np

from u2forge.weights.cards import WeightsFile

ONNX_BYTES = np.random.default_rng(0).bytes(300_000)
PTH_BYTES = np.random.default_rng(1).bytes(310_000)


def weights_file(content: bytes, name: str, **more: object) -> WeightsFile:
    return WeightsFile(
        name=name,
        format="pth" if name.endswith("pth") else "onnx",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        **more,  # type: ignore[arg-type]
    )


@dataclass
class FileServer:
    """What it serves by path, how it misbehaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    break_off_after: int | None = None
    honour_ranges: bool = True
    announce_length: bool = True
    silent: threading.Event = field(default_factory=threading.Event)
    stall: bool = False
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    base: str = ""

    def asked(self) -> list[str]:
        return [path for path, _ in self.requests]


class Handler(BaseHTTPRequestHandler):
    """Answers as `state` says."""

    state: FileServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.state.requests.append((self.path, dict(self.headers.items())))
        path = self.path.partition("?")[0]
        if self.state.stall:
            self.state.silent.wait(20)
            return
        if path in self.state.redirects:
            self.send_response(302)
            self.send_header("Location", self.state.redirects[path])
            self.end_headers()
            return
        if path not in self.state.files:
            self.send_error(404)
            return
        self.send_file(self.state.files[path])

    def send_file(self, content: bytes) -> None:
        start = 0
        asked = self.headers.get("Range")
        if asked and self.state.honour_ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if self.state.announce_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = len(content) if self.state.break_off_after is None else start + self.state.break_off_after
        self.wfile.write(content[start:stop])
