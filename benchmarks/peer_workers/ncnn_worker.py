"""ncnn, with its defaults (Winograd, packed layouts), on what its converter pnnx made of the float32 graph."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ncnn
import numpy as np
from worker_loop import Opened, answer_requests


def open_peer(candidate: Mapping[str, Any]) -> Opened:
    """options: `bfloat16`, whether tensors between layers are stored in it (sums stay in float32)."""
    net = ncnn.Net()
    net.opt.num_threads = candidate["threads"]
    net.opt.use_bf16_storage = candidate["options"]["bfloat16"]
    graph = Path(candidate["path"])
    for loaded in (net.load_param(str(graph)), net.load_model(str(graph.with_suffix(".bin")))):
        if loaded != 0:
            raise RuntimeError(f"ncnn refuses {graph.name}")
    feed, fetch = net.input_names()[0], net.output_names()[0]

    def run(batch: Any) -> Any:
        extractor = net.create_extractor()
        extractor.input(feed, ncnn.Mat(batch[0]))
        code, answer = extractor.extract(fetch)
        if code != 0:
            raise RuntimeError(f"ncnn's inference ended with {code}")
        return np.array(answer)

    executed = "bfloat16 storage" if net.opt.use_bf16_storage else "float32"
    return Opened(run=run, version=ncnn.__version__, executed=executed)


if __name__ == "__main__":
    sys.exit(answer_requests(open_peer))
