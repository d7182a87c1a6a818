"""A convolution's stored weights → tensors on a device, for channels as they lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from u2forge.native.lower import Ingredients
from u2forge.native.pack_convolution import padded, padded_channels
from u2forge.native.plan import Kind

_BLOCKED_SOURCE = (Kind.CONVOLUTION, Kind.SIDE_CONVOLUTION)
_BLOCKED_TARGET = (Kind.CONVOLUTION, Kind.FIRST_CONVOLUTION)


@dataclass(frozen=True, eq=False)
class ConvolutionParameters:
    """weight: (outputs, inputs, k, k) in the type of the products. taps: the same as (k·k, inputs, outputs), for the
    kernels. bias: (outputs,) float32. Blocked channels are padded to whole groups with zeros."""

    weight: torch.Tensor
    taps: torch.Tensor
    bias: torch.Tensor


def convolution_parameters(
    kind: Kind, made_of: Ingredients, *, device: torch.device, dtype: torch.dtype
) -> ConvolutionParameters:
    """The weights of a step, rounded to `dtype`."""
    assert made_of.weights is not None
    weight = made_of.weights.read_weight()
    bias = made_of.weights.read_bias()
    if kind in _BLOCKED_SOURCE:
        weight = np.moveaxis(padded_channels(np.moveaxis(weight, 1, -1), made_of.input_segments), -1, 1)
    if kind in _BLOCKED_TARGET:
        missing = padded(len(weight)) - len(weight)
        weight = np.pad(weight, ((0, missing), (0, 0), (0, 0), (0, 0)))
        bias = np.pad(bias, (0, missing))
    placed = _tensor(weight).to(device=device, dtype=dtype)
    outputs, inputs, *_ = placed.shape
    return ConvolutionParameters(
        weight=placed.contiguous(memory_format=torch.channels_last),
        taps=placed.permute(2, 3, 1, 0).reshape(-1, inputs, outputs).contiguous(),
        bias=_tensor(bias).to(device),
    )


def _tensor(array: NDArray[np.float32]) -> torch.Tensor:
    # A copy: the model's bytes may be read-only, which a tensor cannot say.
    return torch.from_numpy(np.array(array, np.float32))
