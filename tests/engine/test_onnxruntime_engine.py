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

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None, reason="ONNX Runtime is not installed"
)


def test_reading_the_optimized_graph_is_not_the_engines_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from u2forge.engine import onnxruntime_engine

    counted_ms = []

    def count_slowly(path: Path) -> Counter[str]:
        start = time.perf_counter()
        time.sleep(0.2)
        counted_ms.append((time.perf_counter() - start) * 1000)
        return Counter(int8=4)

    monkeypatch.setattr(onnxruntime_engine, "_convolution_counts", count_slowly)
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

    def clear_binding_inputs(self) -> None:
        self.bound.clear()

    def clear_binding_outputs(self) -> None:
        self.bound.clear()


class InterruptedSession:
    """As a session that a Ctrl-C meets."""

    def run_with_iobinding(self, binding: Binding) -> None:
        assert binding.bound == {"x"}
        raise KeyboardInterrupt


def test_an_interrupted_inference_leaves_nothing_bound() -> None:
    from u2forge.engine.onnxruntime_engine import _infer_bound

    binding = Binding()
    with pytest.raises(KeyboardInterrupt):
        _infer_bound(
            InterruptedSession(),  # type: ignore[arg-type]
            (),
            binding,  # type: ignore[arg-type]
            {"x": np.zeros((1, 1, 4, 4), np.float32)},
            Phases(),
        )
    assert binding.bound == set()
