"""The precision that was asked for, what runs, and what the engine says of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from small_model_files import network_proto, picture_batch, write_proto
from u2forge.engine.protocol import Engine, EngineOptions
from u2forge.engine.registry import open_engine
from u2forge.model_file.read import open_model_file
from u2forge.precision import PrecisionMode

openvino = pytest.importorskip("openvino")
pytestmark = pytest.mark.needs_openvino
# bfloat16 keeps 8 bits of the mantissa, float16 keeps 11: probabilities in [0, 1] of a net of three convolutions.
HALF_TOLERANCE = 0.02


def opened(tmp_path: Path, precision: PrecisionMode, engine: str = "openvino") -> Engine:
    path = write_proto(network_proto(channels=32), tmp_path / f"{precision}.onnx", precision=precision)
    return open_engine(path, engine=engine, options=EngineOptions())


def reported_by_openvino(path: Path, hint: str) -> Counter[str]:
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": hint})
    counts: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) == "Convolution":
            counts[facts["runtimePrecision"].astype(str)] += 1
    return counts


def test_float32_runs_in_float32(tmp_path: Path) -> None:
    engine = opened(tmp_path, "force_float32")
    assert (engine.info.precision_executed, dict(engine.info.precision_counts)) == ("float32", {"float32": 3})
    engine.close()


def test_half_precision_is_what_the_compiled_model_reports(tmp_path: Path) -> None:
    from u2forge.engine.openvino_engine import precision_hint

    engine = opened(tmp_path, "force_float16")
    model = open_model_file(tmp_path / "force_float16.onnx")
    hint = precision_hint(openvino.Core(), "CPU", model.manifest.precision)
    names = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
    reported = {names[name]: count for name, count in reported_by_openvino(model.path, hint).items()}
    assert dict(engine.info.precision_counts) == reported
    assert engine.info.precision_executed == max(reported, key=lambda name: reported[name])
    assert engine.info.precision_asked == "force_float16"
    engine.close()


def test_half_precision_is_close_to_float32(tmp_path: Path) -> None:
    answers = []
    for precision in ("force_float32", "force_float16"):
        engine = opened(tmp_path, precision)  # type: ignore[arg-type]
        answers.append(engine.run({"x": picture_batch(engine.info.inputs[0])})["d0"])
        engine.close()
        assert answers[-1].dtype == np.float32
    np.testing.assert_allclose(answers[1], answers[0], atol=HALF_TOLERANCE)


def test_without_native_bfloat16_it_runs_and_says_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("u2forge.engine.openvino_engine.is_arm", lambda: False)
    monkeypatch.setattr("u2forge.engine.openvino_engine.has_native_bfloat16", lambda: False)
    engine = opened(tmp_path, "force_float16")
    assert (engine.info.precision_asked, engine.info.precision_executed) == ("force_float16", "float32")
    engine.close()


class FakeCore:
    def __init__(self, *capabilities: str) -> None:
        self.capabilities = capabilities

    def get_property(self, device: str, key: str) -> tuple[str, ...]:
        return self.capabilities


@pytest.mark.parametrize(
    ("device", "arm", "native", "capabilities", "hint"),
    [
        ("CPU", False, True, ("FP32", "BF16", "FP16"), "bf16"),
        ("CPU", False, None, ("FP32", "BF16"), "bf16"),
        ("CPU", False, False, ("FP32", "BF16", "FP16"), "f32"),
        ("CPU", False, True, ("FP32",), "f32"),
        ("CPU", True, None, ("FP32", "FP16"), "f16"),
        ("CPU", True, None, ("FP32",), "f32"),
        ("GPU", False, True, ("FP32", "FP16"), "f16"),
        ("GPU", False, True, ("FP32",), "f32"),
    ],
)
def test_the_half_precision_of_each_kind_of_device(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    arm: bool,
    native: bool | None,
    capabilities: tuple[str, ...],
    hint: str,
) -> None:
    from u2forge.engine import openvino_engine

    monkeypatch.setattr(openvino_engine, "is_arm", lambda: arm)
    monkeypatch.setattr(openvino_engine, "has_native_bfloat16", lambda: native)
    core = FakeCore(*capabilities)
    assert openvino_engine.precision_hint(core, device, "force_float16") == hint
    assert openvino_engine.precision_hint(core, device, "force_float32") == "f32"


def test_onnxruntime_on_a_processor_says_float32(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    engine = opened(tmp_path, "force_float16", engine="onnxruntime")
    assert (engine.info.precision_asked, engine.info.precision_executed) == ("force_float16", "float32")
    engine.close()
