"""The kernels compute what PyTorch's operators do: in Triton's interpreter, which needs no GPU."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs_torch

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")


@needs_triton
@pytest.mark.needs_onnxruntime
def test_kernels_agree_with_the_library() -> None:
    # The interpreter must be chosen before Triton is imported, for the whole process.
    checks = Path(__file__).with_name("kernel_checks.py")
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(checks)],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        cwd=checks.parents[2],
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    passed = re.search(r"(\d+) passed", answer.stdout)
    assert passed is not None, answer.stdout
    assert int(passed[1]) > 60
    assert "skipped" not in answer.stdout
