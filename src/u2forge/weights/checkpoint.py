"""A checkpoint file of any known format → named float32 arrays with upstream names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from u2forge.errors import ModelError
from u2forge.weights.checkpoint_format import CheckpointFormat, checkpoint_format
from u2forge.weights.digest import sha256_of
from u2forge.weights.read_safetensors import read_safetensors
from u2forge.weights.read_torch import read_state_dict, read_torchscript
from u2forge.weights.write_checkpoint import write_safetensors, write_state_dict

__all__ = ["Checkpoint", "read_checkpoint", "write_safetensors", "write_state_dict"]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights as read. arrays: C-contiguous and finite; file: its name, no folders; sha256: of it."""

    arrays: dict[str, NDArray[np.float32]]
    format: CheckpointFormat
    file: str
    sha256: str


_READERS: dict[CheckpointFormat, Callable[[Path], dict[str, NDArray[np.float32]]]] = {
    "pth": read_state_dict,
    "pt": read_torchscript,
    "safetensors": read_safetensors,
}


def read_checkpoint(path: Path) -> Checkpoint:
    """The weights in a state dict (.pth), TorchScript (.pt) or .safetensors file, told apart by their bytes.

    Half and double precision become float32; num_batches_tracked entries are left out. No Python code from
    the file is run. Raises InputError where there is no such file, ModelError where it is broken, not a
    checkpoint, or holds NaN or infinite weights; MissingDependencyError where PyTorch is needed and absent.
    """
    found = checkpoint_format(path)
    if found is None:
        raise ModelError(
            where=f"checkpoint {path}",
            expected="a PyTorch state dict, a TorchScript module or a .safetensors file",
            found="none of these, by its bytes",
            fix="check that this is the right file",
        )
    arrays = _READERS[found](path)
    if not arrays:
        raise ModelError(
            where=f"checkpoint {path}",
            expected="named weights",
            found="no tensors at all",
            fix="save it with torch.save(model.state_dict(), FILE)",
        )
    for name, array in arrays.items():
        _check_finite(array, where=f"checkpoint {path}, tensor {name!r}")
    return Checkpoint(arrays, format=found, file=path.name, sha256=sha256_of(path))


def _check_finite(array: NDArray[np.float32], *, where: str) -> None:
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise ModelError(
            where=where,
            expected="finite weights within float32",
            found=f"{bad} of {array.size} NaN or infinite",
            fix="use a checkpoint from before the training diverged",
        )
