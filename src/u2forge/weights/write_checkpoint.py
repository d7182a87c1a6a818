"""Named arrays → a checkpoint file with upstream names: .pth for PyTorch, .safetensors for anything."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from u2forge.atomic_file import write_atomic
from u2forge.weights.torch_package import import_torch


def write_state_dict(arrays: Mapping[str, NDArray[np.float32]], path: Path) -> None:
    """Writes a state dict for torch.load, whole or not at all; the same arrays give the same bytes.

    Raises MissingDependencyError without PyTorch, OutputError where it cannot be written.
    """
    torch = import_torch(where=f"writing {path}")
    # As a stream: given a path, PyTorch writes the (temporary) file's name into the archive.
    stream = io.BytesIO()
    tensors = OrderedDict(
        (name, torch.from_numpy(np.array(array, np.float32))) for name, array in arrays.items()
    )
    torch.save(tensors, stream)
    write_atomic(path, stream.getvalue())


def write_safetensors(arrays: Mapping[str, NDArray[np.float32]], path: Path) -> None:
    """Writes a .safetensors file, whole or not at all; same arrays, same bytes. Raises OutputError."""
    from safetensors.numpy import save

    plain = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    write_atomic(path, save(plain, metadata={"format": "pt"}))
