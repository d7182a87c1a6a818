"""Another way to compute a network on a GPU than PyTorch's operators: ours, which is taken where it is faster there."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir
import torch

from u2forge.gpu.choose_kernels import choose_kernels, chosen_kernels
from u2forge.gpu.fused_network import FusedNetwork
from u2forge.gpu.kernel_choice import KernelChoice
from u2forge.native.lower import Lowered, lower
from u2forge.native.refusal import UnsupportedGraphError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class FusedContender:
    """Steps that do the work of several operators, on our kernels where these are faster than PyTorch's.

    folder: where choices of kernels are kept for other processes, None for nowhere.
    """

    lowered: Lowered
    inputs: Sequence[str]
    outputs: Sequence[str]
    device: torch.device
    dtype: torch.dtype
    folder: Path | None
    _choices: dict[int, KernelChoice] = field(default_factory=dict)

    name = "fused steps"

    def network(self, batch_size: int) -> FusedCall:
        """The network for batches of that size, its kernels chosen on this GPU."""
        network = FusedNetwork(self.lowered, device=self.device, dtype=self.dtype, batch_size=batch_size)
        if batch_size not in self._choices:
            _log.info("kernels for batches of %d are chosen on this GPU", batch_size)
            self._choices[batch_size] = (
                choose_kernels(network) if self.folder is None else chosen_kernels(network, self.folder)
            )
        return FusedCall(network.with_kernels(self._choices[batch_size]), self.inputs, self.outputs)


@dataclass(frozen=True, eq=False)
class FusedCall:
    """Called by name, as any other network."""

    network: FusedNetwork
    inputs: Sequence[str]
    outputs: Sequence[str]

    def __call__(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found = self.network(*(tensors[name] for name in self.inputs))
        return dict(zip(self.outputs, found, strict=True))


def fused_contender(
    graph: ir.Model, *, device: torch.device, dtype: torch.dtype, folder: Path | None
) -> FusedContender | None:
    """The contender for a float graph; None where its steps are none that we know."""
    try:
        lowered = lower(graph)
    except UnsupportedGraphError as refusal:
        _log.info("only PyTorch's operators run this graph: %s", refusal)
        return None
    inputs, outputs = (
        [str(value.name) for value in values] for values in (graph.graph.inputs, graph.graph.outputs)
    )
    return FusedContender(lowered, inputs, outputs, device, dtype, folder)
