"""magicmind.python.runtime.parser: ONNX only."""

from __future__ import annotations

import onnx

from magicmind.python.runtime import ModelKind, Network, Status, status_of
from magicmind.recorder import RECORDER


class Parser:
    def __init__(self, kind: ModelKind) -> None:
        RECORDER("Parser", kind.name)

    def parse(self, network: Network, path: str) -> Status:
        message = RECORDER("parse")
        if message is None:
            network.fill(onnx.load(path))
        return status_of(message)
