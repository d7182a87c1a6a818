"""Writes the TorchScript that ncnn's converter reads. Runs in PyTorch's environment.

python trace_network.py WEIGHTS.safetensors OUT.pt
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from safetensors.torch import load_file
from torch_network import network_from

SIZE = 320


def main() -> None:
    weights, out = sys.argv[1:3]
    trace: Any = torch.jit.trace  # has no types
    with torch.no_grad():
        trace(network_from(load_file(weights)), torch.zeros(1, 3, SIZE, SIZE)).save(out)


if __name__ == "__main__":
    main()
