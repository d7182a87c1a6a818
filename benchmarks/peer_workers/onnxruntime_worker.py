"""ONNX Runtime, with its defaults, on the float32 graph."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import onnxruntime
from worker_loop import Opened, answer_requests


def open_peer(candidate: Mapping[str, Any]) -> Opened:
    """A session on the processor. It computes in the types of the graph."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = candidate["threads"]
    session = onnxruntime.InferenceSession(candidate["path"], settings, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0].name
    return Opened(
        run=lambda batch: session.run(None, {feed: batch})[0],
        version=onnxruntime.__version__,
        executed="float32",
    )


if __name__ == "__main__":
    sys.exit(answer_requests(open_peer))
