"""A .safetensors file → its named tensors, without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from u2forge.errors import ModelError

_FLOAT_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


class _Entry(TypedDict):
    data: bytes
    dtype: str
    shape: list[int]


def read_safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors by name, as float32 (from F16, BF16, F32 or F64). Raises ModelError on a broken file."""
    from safetensors import SafetensorError, deserialize

    try:
        entries: list[tuple[str, _Entry]] = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ModelError(
            where=f"checkpoint {path}",
            expected="a whole .safetensors file",
            found=f"one that is cut short or damaged ({error})",
            fix="copy or download the file again",
        ) from error
    return {
        name: _array(
            entry["data"], entry["dtype"], entry["shape"], where=f"checkpoint {path}, tensor {name!r}"
        )
        for name, entry in entries
        if not name.endswith("num_batches_tracked")
    }


def _array(data: bytes, dtype: str, shape: list[int], *, where: str) -> NDArray[np.float32]:
    if dtype == "BF16":
        # The upper half of a float32: numpy has no such type of its own.
        widened = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return widened.view(np.float32).reshape(shape)
    if dtype in _FLOAT_DTYPES:
        # A double beyond float32 becomes infinite here and is refused with its name later.
        with np.errstate(over="ignore"):
            return np.frombuffer(data, _FLOAT_DTYPES[dtype]).astype(np.float32).reshape(shape)
    raise ModelError(
        where=where,
        expected="floating-point weights (F16, BF16, F32 or F64)",
        found=dtype,
        fix="export the float weights from before quantization",
    )
