"""PyTorch, eager or compiled, on upstream's own modules with the official parameters."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load_file
from torch_network import network_from
from worker_loop import Opened, answer_requests


def open_peer(candidate: Mapping[str, Any]) -> Opened:
    """options: `bfloat16`, `channels_last`, `compiled` (with the parameters frozen in)."""
    options = candidate["options"]
    torch.set_num_threads(candidate["threads"])
    torch.set_grad_enabled(False)
    dtype = torch.bfloat16 if options["bfloat16"] else torch.float32
    layout = torch.channels_last if options["channels_last"] else torch.contiguous_format
    network: Any = network_from(load_file(candidate["path"]))
    network = network.to(dtype=dtype, memory_format=layout)
    if options["compiled"]:
        from torch._inductor import config

        config.freezing = True
        network = torch.compile(network)

    def run(batch: Any) -> Any:
        inputs = torch.from_numpy(batch).to(dtype=dtype, memory_format=layout)
        return network(inputs).float().numpy()

    executed = "bfloat16" if options["bfloat16"] else "float32"
    return Opened(run=run, version=torch.__version__, executed=executed)


if __name__ == "__main__":
    sys.exit(answer_requests(open_peer))
