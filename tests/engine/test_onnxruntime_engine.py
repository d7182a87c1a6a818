"""ONNX Runtime's sessions: what opening takes is its own time; an interrupted inference leaves nothing bound."""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from u2forge.engine.probe_model import write_probe_model
from u2forge.engine.protocol import EngineOptions, Phases
from u2forge.engine.registry import open_engine
from u2forge.tensor_spec import TensorSpec

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None, reason="ONNX Runtime is not installed"
)


def test_reading_the_optimized_graph_is_not_the_engines_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from u2forge.engine import onnxruntime_session

    counted_ms = []

    def count_slowly(path: Path) -> Counter[str]:
        start = time.perf_counter()
        time.sleep(0.2)
        counted_ms.append((time.perf_counter() - start) * 1000)
        return Counter(int8=4)

    monkeypatch.setattr(onnxruntime_session, "_convolution_counts", count_slowly)
    path = tmp_path / "model.onnx"
    write_probe_model(path, "qint8_mixed_float32")
    start = time.perf_counter()
    engine = open_engine(path, engine="onnxruntime", options=EngineOptions(device="cpu", threads=1))
    wall_ms = (time.perf_counter() - start) * 1000
    engine.close()
    assert engine.info.precision_counts == {"int8": 4}
    assert 0 < engine.info.opening_ms["engine"] < wall_ms - counted_ms[0]


class Binding:
    """What of a binding is used."""

    def __init__(self) -> None:
        self.bound: set[str] = set()

    def bind_cpu_input(self, name: str, array: object) -> None:
        self.bound.add(name)

    def bind_output(self, name: str, device_type: str, device_id: int) -> None:
        self.bound.add(name)

    def clear_binding_inputs(self) -> None:
        self.bound.clear()

    def clear_binding_outputs(self) -> None:
        self.bound.clear()


class InterruptedSession:
    """As a session that a Ctrl-C meets."""

    def run_with_iobinding(self, binding: Binding) -> None:
        assert binding.bound == {"x", "y"}
        raise KeyboardInterrupt


def test_an_interrupted_inference_leaves_nothing_bound() -> None:
    from u2forge.engine.onnxruntime_devices import device_of
    from u2forge.engine.onnxruntime_inference import inference

    binding = Binding()
    outputs = (TensorSpec("y", (1, 1, 4, 4), "float32", "NCHW"),)
    infer = inference(InterruptedSession(), outputs, device_of("cpu"))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        infer(binding, {"x": np.zeros((1, 1, 4, 4), np.float32)}, Phases())  # type: ignore[arg-type]
    assert binding.bound == set()
