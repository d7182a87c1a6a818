"""Engines opened through u2forge report nothing to anyone, and other code finds its modules as they were."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from small_model_files import network_proto, write_proto
from u2forge.engine.kept_out import kept_out

# A telemetry package that is let in would count this run in its user's home and report it by HTTP.
OPEN_AND_RUN = """
import socket, sys
from pathlib import Path
import numpy as np

def refuse(*_):
    print("something calls out")
    raise OSError

socket.socket.connect = socket.getaddrinfo = refuse
from u2forge.engine.registry import open_engine

engine = open_engine(Path(sys.argv[1]), engine="openvino")
[spec] = engine.info.inputs
engine.run({spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype)})
engine.close()
assert "openvino" in sys.modules
assert "openvino_telemetry" not in sys.modules
"""


def test_a_module_is_out_within_the_block_only() -> None:
    sys.modules.pop("colorsys", None)
    with kept_out("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").__name__ == "colorsys"


def test_what_was_imported_before_stays() -> None:
    colorsys = importlib.import_module("colorsys")
    with kept_out("colorsys"):
        assert importlib.import_module("colorsys") is colorsys
    assert sys.modules["colorsys"] is colorsys


def test_after_a_failure_the_module_is_let_in_again() -> None:
    sys.modules.pop("colorsys", None)
    with pytest.raises(RuntimeError), kept_out("colorsys"):
        raise RuntimeError
    assert "colorsys" not in sys.modules


@pytest.mark.needs_openvino
@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
def test_openvino_calls_no_one_writes_nothing_home_and_prints_nothing(tmp_path: Path) -> None:
    model = write_proto(network_proto(), tmp_path / "m.onnx")
    home = tmp_path / "home"
    home.mkdir()
    answer = subprocess.run(
        [sys.executable, "-c", OPEN_AND_RUN, str(model)],
        env={**os.environ, "HOME": str(home), "USERPROFILE": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert list(home.iterdir()) == []
