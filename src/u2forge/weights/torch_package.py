"""PyTorch, imported when a .pth or .pt file is read or written, or the reason why it is not there."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from types import ModuleType

from u2forge.errors import MissingDependencyError, install_command

# Loading with weights_only=True is safe from here on: CVE-2025-32434 (fixed in 2.6) and CVE-2026-24747 (2.10)
# let a crafted file run code in spite of it.
MINIMUM_TORCH = (2, 10)


def import_torch(*, where: str) -> ModuleType:
    """The torch module. where: what needs it. Raises MissingDependencyError if absent or unsafely old."""
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        raise _missing(where, f"none that can be imported ({error})") from error
    version = str(torch.__version__)
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < MINIMUM_TORCH:
        raise _missing(where, f"torch {version}, which can be made to run code by a crafted file")
    return torch


def _missing(where: str, found: str) -> MissingDependencyError:
    return MissingDependencyError(
        where=where,
        expected="PyTorch {}.{} or newer".format(*MINIMUM_TORCH),
        found=found,
        fix=f"run {install_command('torch>=2.10', extra='torch')}, or use a .safetensors or .onnx file, which need "
        "no PyTorch",
    )
