"""The peers' Python environments: a name → the Python that has what the peer needs, installed where it is not there.

A peer's packages never meet ours: versions that one of them asks for would change what the others are measured with.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# What pip is told: the versions that the published figures were measured with.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("onnxruntime==1.32.0",),
    # The converter quantizes with NNCF, whose ONNX form needs ONNX Runtime.
    "openvino": ("openvino==2026.4.1", "nncf==3.4.0", "onnx==1.23.2", "onnxruntime==1.32.0"),
    "pytorch": ("torch==2.13.0", "numpy==2.4.6", "safetensors==0.8.0"),
    # pnnx would bring PyTorch with 5 GB of CUDA, which its program does without.
    "ncnn": ("--no-deps", "ncnn==1.0.20261020", "pnnx==20261020", "numpy==2.4.6"),
    "mnn": ("MNN==3.6.1", "numpy==2.4.6"),
    "rembg": ("rembg[cpu,cli]==2.0.86",),
}
_LONGEST_INSTALLATION_S = 1800
# Reasons of this run: what failed once is not tried again for the peer's next row.
_failed: dict[str, str] = {}


class NotInstalledError(Exception):
    """A peer's environment could not be made; the message is the reason, on one line."""


def environment_python(name: str, *, folder: Path) -> Path:
    """The Python of the environment `folder`/.venv-NAME, which has REQUIREMENTS[name]; made once.

    Raises NotInstalledError where the package index has none for this system, or cannot be reached.
    """
    environment = folder / f".venv-{name}"
    python = environment / "bin" / "python"
    installed = environment / "installed.txt"
    wanted = "\n".join(REQUIREMENTS[name]) + "\n"
    if installed.exists() and installed.read_text() == wanted:
        return python
    if name in _failed:
        raise NotInstalledError(_failed[name])
    print(f"installing {', '.join(REQUIREMENTS[name])} into {environment}", file=sys.stderr)
    try:
        if not python.exists():
            _run([sys.executable, "-m", "venv", str(environment)])
        _run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[name]])
    except NotInstalledError as error:
        _failed[name] = str(error)
        raise
    installed.write_text(wanted)
    return python


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LONGEST_INSTALLATION_S)
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout).strip().splitlines()
        # pip's reason comes before its advice to upgrade itself.
        reasons = [line for line in lines if line.startswith("ERROR: ")] or lines[-1:]
        reason = reasons[0] if reasons else f"{' '.join(command)} ended with {error.returncode}"
        raise NotInstalledError(f"not installed: {reason.removeprefix('ERROR: ')}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(f"not installed: {error}") from error
