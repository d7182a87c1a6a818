"""The native engine's own: precisions, instruction sets, refusals, what `auto` takes, the prepared cache, profiles."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir
import pytest

from small_model_files import manifest_of, network_proto, picture_batch, rectified_proto, write_proto
from u2forge.engine import native_engine, registry
from u2forge.engine.native_engine import check_graph, executed_precision, find_device, is_fastest
from u2forge.engine.probe_model import write_probe_model
from u2forge.engine.protocol import EngineOptions
from u2forge.engine.registry import ENGINES, check_engine, open_engine, profile_layers
from u2forge.errors import EngineError, MissingDependencyError, ModelError
from u2forge.model_file.manifest import Manifest
from u2forge.model_file.quantization_record import CalibrationRecord, FloatLayer, QuantizationRecord
from u2forge.model_file.read import open_model_file
from u2forge.model_file.write import write_model
from u2forge.native.refusal import UnsupportedGraphError
from u2forge.precision import PrecisionMode
from u2forge.tensor_spec import TensorSpec

pytestmark = pytest.mark.skipif(not ENGINES["native"].installed, reason="the native engine is not built")
# Float sums in another order, and Winograd's rounding.
TOLERANCE = 1e-5
INT16: PrecisionMode = "qint16_mixed_float32"
needs_another_engine = pytest.mark.skipif(
    not any(entry.installed for name, entry in ENGINES.items() if name != "native"),
    reason="no other engine is installed",
)


@pytest.fixture
def probe(tmp_path: Path) -> Callable[[PrecisionMode], Path]:
    def write(precision: PrecisionMode) -> Path:
        write_probe_model(tmp_path / f"{precision}.onnx", precision)
        return tmp_path / f"{precision}.onnx"

    return write


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_proto(rectified_proto(), tmp_path / "small.onnx")


def ones() -> dict[str, Any]:
    return {"image": np.ones((1, 32, 32, 32), np.float32)}


@pytest.mark.parametrize(
    ("asked", "level", "executed"),
    [
        ("force_float32", "avx512_vnni_bf16", "float32"),
        ("force_float16", "avx512_vnni_bf16", "bfloat16"),
        ("force_float16", "avx512_vnni", "float32"),
        ("force_float16", "portable", "float32"),
        ("qint16_mixed_float32", "avx2", "int16"),
        ("qint16_mixed_float16", "avx512_vnni_bf16", "int16"),
    ],
)
def test_half_precision_only_where_the_processor_multiplies_it(
    asked: PrecisionMode, level: str, executed: str
) -> None:
    assert executed_precision(asked, level) == executed


def test_8_bits_are_refused_with_the_engine_to_use(probe: Callable[[PrecisionMode], Path]) -> None:
    with pytest.raises(EngineError, match=r"found 8 bits, .* with the engine openvino or onnxruntime"):
        open_engine(probe("qint8_mixed_float32"), engine="native")


@pytest.mark.parametrize("precision", ["force_float32", "force_float16", INT16])
def test_held_to_an_instruction_set_it_says_so_and_answers_the_same(
    precision: PrecisionMode, probe: Callable[[PrecisionMode], Path]
) -> None:
    path = probe(precision)
    answers = {}
    for device in native_engine.native_devices():
        engine = open_engine(path, engine="native", options=EngineOptions(device=device.upper()))
        info, answers[device] = engine.info, engine.run(ones())["d0"]
        engine.close()
        level = native_engine.level_of(device)
        assert (info.device, info.device_name.endswith(f"({level})")) == (device, True)
        expected = executed_precision(precision, level)
        assert info.precision_executed == expected
        assert info.precision_counts == (
            {"float32": 4} if expected == "float32" else {"float32": 2, expected: 2}
        )
    # bfloat16 keeps 8 bits of the mantissa, integers 12 of 2.5 times the range.
    worst = {"force_float32": TOLERANCE, "force_float16": 0.02, INT16: 0.002}[precision]
    for answer in answers.values():
        np.testing.assert_allclose(answer, answers["portable"], atol=worst)


def test_a_missing_device_lists_those_that_are_there() -> None:
    with pytest.raises(EngineError, match="device 'gpu': expected one of cpu, avx2; found no such device"):
        find_device(["cpu", "avx2"], "gpu")
    assert find_device(["cpu", "avx2"], "AVX2") == "avx2"
    assert find_device(["cpu", "avx2"], "auto") == "cpu"


@needs_another_engine
def test_an_instruction_set_is_a_device_of_auto(small: Path) -> None:
    check_engine("auto", device="portable")
    options = EngineOptions(device="portable")
    engine = open_engine(small, options=options)
    assert (engine.info.engine, engine.info.device) == ("native", "portable")
    engine.close()
    with pytest.raises(EngineError, match="device 'abacus'"):
        check_engine("auto", device="abacus")


@needs_another_engine
def test_a_graph_it_does_not_know_is_refused_by_name_and_auto_takes_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    proto, inputs, outputs = rectified_proto()
    proto.graph.node[-1].op_type = "HardSigmoid"
    proto.graph.node[-1].name = "squeeze"
    path = write_proto((proto, inputs, outputs), tmp_path / "hard.onnx")
    refusal = "node 'squeeze': expected one of the operators .*HardSigmoid.* openvino or onnxruntime"
    with pytest.raises(EngineError, match=refusal):
        open_engine(path, engine="native")
    caplog.set_level("INFO", logger="u2forge")
    engine = open_engine(path)
    assert engine.info.engine != "native"
    assert "node 'squeeze'" in caplog.text
    engine.close()


def test_where_nothing_else_is_installed_auto_tells_the_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_proto(network_proto(), tmp_path / "model.onnx")
    only = {"native": ENGINES["native"]}
    monkeypatch.setattr(registry, "ENGINES", only)
    with pytest.raises(EngineError, match="engine 'native', node"):
        open_engine(path)


@needs_another_engine
def test_an_open_size_is_refused_and_auto_takes_another(tmp_path: Path) -> None:
    proto, inputs, outputs = rectified_proto()
    for value in (proto.graph.input[0], proto.graph.output[0]):
        for axis, size in ((2, "h"), (3, "w")):
            value.type.tensor_type.shape.dim[axis].dim_param = size
    inputs = [TensorSpec("x", (1, 3, None, None), "float32", "NCHW")]
    outputs = [TensorSpec("d0", (1, 1, None, None), "float32", "NCHW")]
    path = write_proto((proto, inputs, outputs), tmp_path / "open.onnx")
    with pytest.raises(EngineError, match=r"tensor 'x': expected fixed height and width; .*--input-height"):
        open_engine(path, engine="native")
    engine = open_engine(path)
    assert engine.info.engine != "native"
    engine.close()


def test_16_bits_without_calibrated_ranges_are_a_broken_model(tmp_path: Path) -> None:
    path = write_proto(rectified_proto(), tmp_path / "model.onnx", precision=INT16)
    with pytest.raises(ModelError, match=r"u2forge.ranges.*no such entry.* build the model again"):
        open_engine(path, engine="native")


def with_float_layers(path: Path, *names: str) -> Path:
    """The same 16-bit model, its manifest saying that these layers are in float."""
    record = QuantizationRecord(
        bits=16,
        weight_bits=16,
        algorithm="linear",
        weight_granularity="per_channel",
        activations="asymmetric",
        equalize=0.0,
        bias_correction=False,
        calibration=CalibrationRecord("ranges", 0, "0" * 64),
        float_layers=tuple(FloatLayer(name, "sensitive") for name in names),
        accuracy=None,
    )
    manifest = replace(open_model_file(path).manifest, quantization=record)
    out = path.with_name("kept.onnx")
    model = onnx_ir.serde.deserialize_model(onnx.load(path))
    for key in [key for key in model.metadata_props if key.startswith("u2forge") and key != "u2forge.ranges"]:
        del model.metadata_props[key]
    write_model(model, manifest, out)
    return out


def test_a_layer_that_was_kept_in_float_is_not_computed_in_16_bits(
    probe: Callable[[PrecisionMode], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_float_layers(probe(INT16), "layer_2")
    with pytest.raises(EngineError, match=r"layer 'layer_2': .*kept in float: sensitive.* openvino or onnx"):
        open_engine(path, engine="native")
    model = open_model_file(path)
    monkeypatch.setattr(
        "u2forge.native.compile_plan.CompiledPlan.pack", lambda *_: pytest.fail("weights are packed")
    )
    with pytest.raises(UnsupportedGraphError, match=r"layer 'layer_2': .*kept in float: sensitive"):
        check_graph(model)
    # These are in float anyway.
    path = with_float_layers(probe(INT16), "layer_1", "layer_4")
    check_graph(open_model_file(path))
    monkeypatch.undo()
    open_engine(path, engine="native").close()


def test_what_auto_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    _, inputs, outputs = rectified_proto()

    def manifest(precision: PrecisionMode) -> Manifest:
        return manifest_of(inputs, outputs, precision)

    def suiting(*, device: str = "auto") -> list[str]:
        modes: list[PrecisionMode] = ["force_float32", "force_float16", "qint8_mixed_float32", INT16]
        return [mode for mode in modes if is_fastest(manifest(mode), device=device)]

    monkeypatch.setattr(native_engine, "native_devices", lambda: ["cpu", "avx2", "portable"])
    monkeypatch.setattr(native_engine, "has_amx_bfloat16", lambda: None)
    assert suiting() == ["force_float32", "force_float16", INT16]
    assert suiting(device="AVX2") == suiting()
    assert suiting(device="GPU") == []
    monkeypatch.setattr(native_engine, "has_amx_bfloat16", lambda: True)
    assert suiting() == ["force_float32", INT16]
    monkeypatch.setattr(native_engine, "native_devices", lambda: ["cpu", "portable"])
    assert suiting() == []


@needs_another_engine
def test_kernels_that_do_not_load_leave_auto_the_others(
    small: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load = registry.importlib.import_module

    def broken(name: str) -> Any:
        if name == ENGINES["native"].module:
            raise ImportError("GLIBCXX_3.4.32 not found")
        return load(name)

    monkeypatch.setattr(registry.importlib, "import_module", broken)
    engine = open_engine(small)
    assert engine.info.engine != "native"
    assert "another engine than native is taken" in caplog.text
    assert "GLIBCXX_3.4.32 not found" in caplog.text
    engine.close()
    with pytest.raises(MissingDependencyError, match="GLIBCXX"):
        open_engine(small, engine="native")


def test_a_second_start_parses_no_graph(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = EngineOptions(cache_folder=tmp_path / "cache")
    inputs = {"x": picture_batch(rectified_proto()[1][0])}
    first = open_engine(small, engine="native", options=options)
    answer = first.run(inputs)["d0"]
    assert len(list((tmp_path / "cache" / "native").glob("*.prepared"))) == 1

    def fail(*_: object) -> None:
        raise AssertionError("the graph is parsed again")

    monkeypatch.setattr("u2forge.graph.read_onnx.read_onnx", fail)
    second = open_engine(small, engine="native", options=options)
    np.testing.assert_array_equal(second.run(inputs)["d0"], answer)
    # Each has its own memory, of the same weights.
    first.close()
    np.testing.assert_array_equal(second.run(inputs)["d0"], answer)
    second.close()


def test_several_engines_at_once_from_several_threads(small: Path) -> None:
    spec = rectified_proto()[1][0]
    inputs = [{"x": picture_batch(spec, seed=seed)} for seed in range(6)]
    engines = [
        open_engine(small, engine="native", options=EngineOptions(threads=threads, streams=streams))
        for threads, streams in ((1, 1), (2, 1), (4, 2))
    ]
    right = [engines[0].run(each)["d0"] for each in inputs]
    with ThreadPoolExecutor(6) as callers:
        jobs = [
            (callers.submit(engine.run, each), answer)
            for _ in range(20)
            for engine in engines
            for each, answer in zip(inputs, right, strict=True)
        ]
        assert all(np.array_equal(job.result(timeout=60)["d0"], answer) for job, answer in jobs)
    for engine in engines:
        engine.close()


@pytest.mark.parametrize(
    "error", [MemoryError("std::bad_alloc"), RuntimeError("Resource temporarily unavailable")]
)
def test_too_little_memory_or_too_many_threads(
    error: Exception, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(native_engine, "PooledEngine", refuse)
    with pytest.raises(
        EngineError, match=r"expected memory and threads for float32 .*fewer threads or fewer streams"
    ):
        open_engine(small, engine="native")


def test_weights_that_find_no_memory(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(native_engine, "prepared_network", refuse)
    with pytest.raises(EngineError, match=r"expected memory for .*; found not enough of it"):
        open_engine(small, engine="native")


def test_a_batch_that_finds_no_memory(tmp_path: Path) -> None:
    engine = open_engine(write_proto(rectified_proto(batch=None), tmp_path / "any.onnx"), engine="native")
    # A million pictures that take no memory themselves.
    huge = np.broadcast_to(np.zeros((1, 3, 16, 16), np.float32), (2**40, 3, 16, 16))
    with pytest.raises(EngineError, match="try a smaller batch"):
        engine.run({"x": huge})
    assert engine.run({"x": huge[:1]})["d0"].shape == (1, 1, 16, 16)
    engine.close()


def test_a_profile_names_every_step(probe: Callable[[PrecisionMode], Path]) -> None:
    layers = profile_layers(
        probe(INT16), engine="native", options=EngineOptions(threads=1), inputs=ones(), inferences=2
    )
    found = [(layer.name, layer.operator, layer.precision) for layer in layers]
    assert found == [
        ("layer_1", "first_convolution", "float32"),
        ("layer_2", "convolution", "int16"),
        ("layer_3", "convolution", "int16"),
        ("layer_4", "side_convolution", "float32"),
    ]
    assert layers[1].kernel.startswith("winograd ")
    with pytest.raises(EngineError, match="device 'npu'"):
        profile_layers(
            probe(INT16), engine="native", options=EngineOptions(device="npu"), inputs=ones(), inferences=1
        )


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_as_many_threads_as_processors_may_be_used(small: Path) -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        engine = open_engine(small, engine="native")
    finally:
        os.sched_setaffinity(0, allowed)
    assert engine.info.threads == 1
    engine.close()
