"""OpenVINO's requests: one that was started is waited for, whatever happens in between."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from small_model_files import two_by_two_proto, write_proto
from u2forge.engine.protocol import Phases

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"
)


class InterruptedRequest:
    """As a request that a Ctrl-C meets when it has just been started."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def set_tensor(self, name: str, tensor: object) -> None:
        self.calls.append(f"set {name}")

    def start_async(self) -> None:
        self.calls.append("start")
        raise KeyboardInterrupt

    def wait(self) -> None:
        self.calls.append("wait")


def test_an_interrupted_inference_is_waited_for() -> None:
    from u2forge.engine.openvino_engine import _infer

    request = InterruptedRequest()
    with pytest.raises(KeyboardInterrupt):
        _infer((), request, {"x": np.zeros((1, 1, 4, 4), np.float32)}, Phases())
    assert request.calls == ["set x", "start", "wait"]


OPEN_AND_CLOSE = """
import gc, signal, sys
from pathlib import Path
from u2forge.engine.openvino_engine import openvino_devices
from u2forge.engine.registry import open_engine

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
openvino_devices()
engines = [open_engine(Path(sys.argv[1]), engine="openvino") for _ in range(3)]
while engines:
    engines.pop(0).close()
    gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_after_several_engines_ends_no_process(tmp_path: Path) -> None:
    """By SIGSEGV, as it did with a Core for each of them."""
    path = write_proto(two_by_two_proto(), tmp_path / "model.onnx")
    command = [sys.executable, "-c", OPEN_AND_CLOSE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")
