"""OpenVINO, tuned for latency as its own documents advise, on a float graph or one that NNCF quantized."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino
from worker_loop import Opened, answer_requests

_PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "i8": "int8", "u8": "int8"}


def open_peer(candidate: Mapping[str, Any]) -> Opened:
    """options: `hint`, the precision asked for all that is not in integers."""
    compiled = openvino.Core().compile_model(
        candidate["path"],
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": candidate["threads"],
            "INFERENCE_PRECISION_HINT": candidate["options"]["hint"],
        },
    )
    request = compiled.create_infer_request()
    return Opened(
        # The result's memory is the request's own.
        run=lambda batch: np.array(request.infer({0: batch}, share_inputs=True)[0]),
        version=openvino.__version__.split("-")[0],
        executed=_executed(compiled),
    )


def _executed(compiled: openvino.CompiledModel) -> str:
    """What most of the convolutions run in, as the compiled model reports it."""
    facts = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    counts = Counter(
        one["runtimePrecision"].astype(str) for one in facts if one["layerType"].astype(str) == "Convolution"
    )
    name: str = counts.most_common(1)[0][0]
    return _PRECISIONS.get(name, name)


if __name__ == "__main__":
    sys.exit(answer_requests(open_peer))
