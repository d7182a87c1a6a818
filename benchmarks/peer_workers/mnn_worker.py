"""MNN, with its defaults, on what its converter made of the float32 graph."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from worker_loop import Opened, answer_requests


def open_peer(candidate: Mapping[str, Any]) -> Opened:
    """A session on the processor in normal precision, which is float32 on x86."""
    # Here, for it prints when it is imported.
    import MNN

    network = MNN.Interpreter(candidate["path"])
    session = network.createSession(
        {"backend": "CPU", "precision": "normal", "numThread": candidate["threads"]}
    )
    feed = network.getSessionInput(session)
    fetch = network.getSessionOutput(session)

    def run(batch: Any) -> Any:
        # MNN keeps tensors in a layout of its own; these are copied into it and out of it.
        feed.copyFrom(MNN.Tensor(batch.shape, MNN.Halide_Type_Float, batch, MNN.Tensor_DimensionType_Caffe))
        network.runSession(session)
        answer = np.empty(fetch.getShape(), np.float32)
        host = MNN.Tensor(answer.shape, MNN.Halide_Type_Float, answer, MNN.Tensor_DimensionType_Caffe)
        fetch.copyToHostTensor(host)
        return np.array(host.getData(), np.float32).reshape(answer.shape)

    return Opened(run=run, version=version("MNN"), executed="float32")


if __name__ == "__main__":
    sys.exit(answer_requests(open_peer))
