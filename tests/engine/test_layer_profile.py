"""What the engines' own profilers say of each layer: executed ones, in order, and in what they compute."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from installed_engines import INSTALLED, options_for

from small_model_files import picture_batch, rectified_proto, two_by_two_proto, write_proto
from u2forge.engine.layer_time import LayerTime
from u2forge.engine.probe_model import ProbeShape, write_probe_model
from u2forge.engine.protocol import Tensors
from u2forge.engine.registry import open_engine, profile_layers
from u2forge.errors import EngineError, InputError
from u2forge.precision import PrecisionMode


@pytest.fixture(params=INSTALLED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def profiled(
    path: Path, name: str, inputs: Tensors, *, inferences: int = 3, threads: int | None = None
) -> list[LayerTime]:
    options = options_for(name, threads=threads)
    return profile_layers(path, engine=name, options=options, inputs=inputs, inferences=inferences)


def test_every_layer_is_there_once_with_its_times(name: str, tmp_path: Path) -> None:
    parts = rectified_proto()
    path = write_proto(parts, tmp_path / "small.onnx")
    layers = profiled(path, name, {"x": picture_batch(parts[1][0])})
    assert sum(layer.is_convolution for layer in layers) == 3
    for layer in layers:
        assert layer.operator
        assert layer.kernel
        assert 0 <= layer.best_ms <= layer.ms
    assert sum(layer.ms for layer in layers) > 0
    convolutions = [layer for layer in layers if layer.is_convolution]
    assert {layer.precision for layer in convolutions} == {"float32"}


def test_layers_keep_the_order_of_execution(name: str, tmp_path: Path) -> None:
    path = tmp_path / "probe.onnx"
    probe = ProbeShape(channels=16, size=16, layers=5)
    write_probe_model(path, "force_float32", probe=probe)
    layers = profiled(path, name, {"image": np.ones((1, 16, 16, 16), np.float32)})
    order = [layer.name for layer in layers if layer.is_convolution]
    # Engines take the name of a node, or of what it gives.
    places = [{f"layer_{index}", f"between_{index}" if index < 5 else "d0"} for index in range(1, 6)]
    assert len(order) == len(places)
    assert all(name in names for name, names in zip(order, places, strict=True))


@pytest.mark.parametrize("precision", ["force_float16", "qint8_mixed_float32", "qint16_mixed_float32"])
def test_the_precision_is_what_the_opened_engine_reports(
    name: str, precision: PrecisionMode, tmp_path: Path
) -> None:
    if name == "native" and precision.startswith("qint8"):
        pytest.skip("the native engine computes in no 8 bits")
    path = tmp_path / "probe.onnx"
    write_probe_model(path, precision)
    layers = profiled(path, name, {"image": np.ones((1, 32, 32, 32), np.float32)})
    engine = open_engine(path, engine=name, options=options_for(name))
    found = Counter(layer.precision for layer in layers if layer.is_convolution)
    assert found == (engine.info.precision_counts or {engine.info.precision_executed: 4})
    engine.close()


def test_a_batch_and_one_thread(name: str, tmp_path: Path) -> None:
    parts = rectified_proto(batch=None)
    path = write_proto(parts, tmp_path / "open.onnx")
    layers = profiled(path, name, {"x": picture_batch(parts[1][0], batch=3)}, inferences=1, threads=1)
    assert sum(layer.is_convolution for layer in layers) == 3


def test_more_than_one_input(name: str, tmp_path: Path) -> None:
    if name == "native":
        pytest.skip("the native engine runs graphs of one input")
    parts = two_by_two_proto()
    path = write_proto(parts, tmp_path / "two.onnx")
    layers = profiled(path, name, {spec.name: picture_batch(spec) for spec in parts[1]})
    assert layers
    assert not any(layer.is_convolution for layer in layers)


def test_nothing_is_left_in_the_working_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = rectified_proto()
    path = write_proto(parts, tmp_path / "small.onnx")
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    profiled(path, name, {"x": picture_batch(parts[1][0])})
    assert list(empty.iterdir()) == []


def test_inputs_that_do_not_fit_are_refused(name: str, tmp_path: Path) -> None:
    path = write_proto(rectified_proto(), tmp_path / "small.onnx")
    with pytest.raises(
        InputError, match=r"expected float32 \(1, 3, 16, 16\) NCHW; found float32 \(1, 3, 8, 8\)"
    ):
        profiled(path, name, {"x": np.zeros((1, 3, 8, 8), np.float32)})


def test_a_failing_profiler_is_an_engine_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> list[LayerTime]:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(f"u2forge.engine.{name}_profile.profile_{name}", broken)
    parts = rectified_proto()
    path = write_proto(parts, tmp_path / "small.onnx")
    with pytest.raises(EngineError, match=f"engine '{name}', profile of .*found out of memory"):
        profiled(path, name, {"x": picture_batch(parts[1][0])})


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("Convolution", True),
        ("QLinearConv", True),
        ("NhwcFusedConv", True),
        ("Convert", False),
        ("Add", False),
    ],
)
def test_what_a_convolution_is_called(operator: str, expected: bool) -> None:
    assert LayerTime("a", operator, "", "float32", 1.0, 1.0).is_convolution is expected
