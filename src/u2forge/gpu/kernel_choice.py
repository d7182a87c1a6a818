"""Which kernel computes each step; kept as a file, for one GPU, its software, and one type and batch size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from u2forge.atomic_file import write_atomic

# Raise it where a kernel changes: choices measured with the old one count no more.
KERNELS_VERSION = 1


@dataclass(frozen=True)
class KernelChoice:
    """by_shape: a step's shape → the name of its alternative. A shape that is missing is computed by the library."""

    by_shape: Mapping[str, str] = field(default_factory=dict)


def choice_file(folder: Path, *, device: torch.device, dtype: torch.dtype, batch_size: int) -> Path:
    """Where the choice for a GPU is kept: the name changes with all that may make another kernel the fastest."""
    parts = [
        torch.cuda.get_device_name(device),
        *torch.cuda.get_device_capability(device),
        torch.__version__,
        torch.version.cuda,
        _triton_version(),
        KERNELS_VERSION,
        dtype,
        # Whether the library's kernels may be those of tensorfloat32.
        dtype is torch.float32 and torch.backends.cudnn.allow_tf32,
        batch_size,
    ]
    digest = hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()
    return folder / f"kernels-{digest[:16]}.json"


def read_choice(path: Path) -> KernelChoice | None:
    """The choice that was kept; None where there is none, or another file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["by_shape"]
        return KernelChoice({str(shape): str(name) for shape, name in found.items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_choice(path: Path, choice: KernelChoice) -> None:
    """Keeps the choice. Raises OutputError."""
    text = json.dumps({"by_shape": dict(choice.by_shape)}, indent=1, ensure_ascii=False)
    write_atomic(path, text.encode())


def _triton_version() -> str:
    try:
        return version("triton")
    except PackageNotFoundError:
        return "none"
