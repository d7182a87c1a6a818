"""A lowered network → its maps, on one device, in buffers that stay where they are: ready for a CUDA graph.

Each step takes one pass over its channels where a graph's operators take several: bias, rectification, addition and
2×2 maxima belong to their convolution, and what is joined is written where it is joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from u2forge.errors import InputError
from u2forge.gpu.kernel_choice import KernelChoice
from u2forge.gpu.placed_step import PlacedNetwork, placed_network
from u2forge.gpu.pytorch_steps import Run, library_step
from u2forge.gpu.step_alternatives import LIBRARY, step_alternatives
from u2forge.native.lower import Lowered


class FusedNetwork:
    """inputs, outputs: the network's own tensors, read and written by each run; outputs float32 (N, C, H, W).
    kernels: by step, the name of what computes it."""

    def __init__(
        self,
        lowered: Lowered,
        *,
        device: torch.device,
        dtype: torch.dtype,
        batch_size: int,
        kernels: KernelChoice | None = None,
    ) -> None:
        """dtype: float16, bfloat16 or float32, of activations and weights; sums, biases and logits are float32.

        kernels: by which alternative each step is computed; PyTorch's operators where it names none that is here.
        """
        placed = placed_network(lowered, device=device, dtype=dtype, batch_size=batch_size)
        self._take(placed, device=device, dtype=dtype, kernels=kernels)

    def _take(
        self, placed: PlacedNetwork, *, device: torch.device, dtype: torch.dtype, kernels: KernelChoice | None
    ) -> None:
        self.device, self.dtype = device, dtype
        self.steps, self.inputs, self.outputs = placed.steps, placed.inputs, placed.outputs
        self._placed = placed
        by_shape = {} if kernels is None else kernels.by_shape
        names, runs = [], []
        for step in self.steps:
            wanted = by_shape.get(step.shape, LIBRARY)
            # Triton is loaded where one of its kernels is wanted only.
            found = None if wanted == LIBRARY else step_alternatives(step).get(wanted)
            names.append(LIBRARY if found is None else wanted)
            runs.append(library_step(step) if found is None else found())
        self.kernels: Sequence[str] = names
        self._runs: Sequence[Run] = runs

    @property
    def batch_size(self) -> int:
        """How many pictures each run takes."""
        return int(self.inputs[0].shape[0])

    def with_kernels(self, kernels: KernelChoice) -> FusedNetwork:
        """The same network, computed by other kernels; on the same buffers."""
        network = object.__new__(FusedNetwork)
        network._take(self._placed, device=self.device, dtype=self.dtype, kernels=kernels)
        return network

    def run(self) -> None:
        """Computes outputs from inputs: the same kernels on the same memory each time, without waiting for them."""
        with torch.inference_mode(), launching_on(self.device):
            for run in self._runs:
                run()

    def __call__(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """The outputs, which the next run overwrites. Raises InputError on tensors of another shape or type."""
        _check(inputs, self.inputs)
        for own, given in zip(self.inputs, inputs, strict=True):
            own.copy_(given, non_blocking=True)
        self.run()
        return list(self.outputs)


def launching_on(device: torch.device) -> AbstractContextManager[object]:
    """Makes a GPU the current one: Triton launches there, wherever the tensors are."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _check(given: Sequence[torch.Tensor], own: Sequence[torch.Tensor]) -> None:
    expected, found = (", ".join(f"{t.dtype} {tuple(t.shape)}" for t in tensors) for tensors in (own, given))
    if expected != found:
        raise InputError(
            where="the network's input",
            expected=expected,
            found=found or "nothing",
            fix="pass batches of the size that the network was opened for",
        )
