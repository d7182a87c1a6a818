"""A network's arrays → the state dict that upstream's own U2NET class loads, batch-norms included."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from u2forge.graph.architecture import (
    BATCH_NORM_EPSILON,
    BATCH_NORM_PARAMETERS,
    Architecture,
    convolutions,
    expected_parameters,
)

Arrays = dict[str, NDArray[np.float32]]


def upstream_state_dict(architecture: Architecture, arrays: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """All of upstream's parameters in upstream's order; identity batch-norms where they were folded away.

    num_batches_tracked is left out: PyTorch sets it to 0 itself, under strict=True too.
    """
    complete = dict(arrays)
    for row in convolutions(architecture):
        if row.batch_norm and f"{row.batch_norm}.weight" not in complete:
            complete |= identity_batch_norm(row.batch_norm, row.out_channels)
    return {name: complete[name] for name in expected_parameters(architecture, batch_norm=True)}


def identity_batch_norm(module: str, channels: int) -> Arrays:
    """Parameters with which upstream's batch-norm changes nothing: variance and epsilon make one."""
    constants = (1.0, 0.0, 0.0, 1.0 - BATCH_NORM_EPSILON)
    return {
        f"{module}.{name}": np.full(channels, constant, np.float32)
        for name, constant in zip(BATCH_NORM_PARAMETERS, constants, strict=True)
    }
