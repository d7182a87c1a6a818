"""What every engine keeps to, run on each one that is installed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from installed_engines import INSTALLED, options_for
from onnx import helper
from onnx.reference import ReferenceEvaluator

from small_model_files import (
    doubled_proto,
    graph_proto,
    picture_batch,
    rectified_proto,
    two_by_two_proto,
    write_proto,
)
from u2forge.engine.protocol import Engine, EngineOptions, Phases
from u2forge.engine.registry import ENGINES, open_engine
from u2forge.errors import EngineError, InputError, MissingDependencyError, ModelError
from u2forge.tensor_spec import TensorSpec

# Sums of some dozen products of float32 in another order.
TOLERANCE = 1e-5
Open = Callable[..., Engine]


@pytest.fixture(params=INSTALLED)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(name: str, tmp_path: Path) -> Iterator[Open]:
    """Opens parts of a model on the engine under test, and closes it after the test."""
    engines: list[Engine] = []

    def open_parts(parts: Any, **options: Any) -> Engine:
        path = write_proto(parts, tmp_path / f"{len(engines)}.onnx")
        engines.append(open_engine(path, engine=name, options=options_for(name, **options)))
        return engines[-1]

    yield open_parts
    for engine in engines:
        engine.close()


def expected(proto: onnx.ModelProto, inputs: dict[str, Any]) -> dict[str, Any]:
    names = [output.name for output in proto.graph.output]
    return dict(zip(names, ReferenceEvaluator(proto).run(names, inputs), strict=True))


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("embedded", [False, True])
def test_the_numbers_are_the_reference_evaluators(opened: Open, embedded: bool, streams: int) -> None:
    parts = rectified_proto(embedded=embedded)
    engine = opened(parts, streams=streams)
    inputs = {parts[1][0].name: picture_batch(parts[1][0])}
    answer = engine.run(inputs)
    assert list(answer) == ["d0"]
    assert answer["d0"].dtype == np.float32
    np.testing.assert_allclose(answer["d0"], expected(parts[0], inputs)["d0"], atol=TOLERANCE)


def test_two_inputs_and_two_outputs_in_order(opened: Open, name: str) -> None:
    if name == "native":
        with pytest.raises(EngineError, match="graph: expected one input; found 'left', 'right'"):
            opened(two_by_two_proto())
        return
    parts = two_by_two_proto()
    inputs = {spec.name: picture_batch(spec, seed=seed) for seed, spec in enumerate(parts[1])}
    answer = opened(parts).run(dict(reversed(inputs.items())))
    assert list(answer) == ["total", "difference"]
    for key, value in expected(parts[0], inputs).items():
        np.testing.assert_allclose(answer[key], value, atol=TOLERANCE)


def test_any_batch_size_where_the_model_says_so(opened: Open) -> None:
    parts = rectified_proto(batch=None)
    engine = opened(parts)
    for batch in (1, 3, 2):
        inputs = {"x": picture_batch(parts[1][0], batch=batch)}
        np.testing.assert_allclose(engine.run(inputs)["d0"], expected(parts[0], inputs)["d0"], atol=TOLERANCE)


def test_arrays_of_any_memory_order(opened: Open) -> None:
    parts = rectified_proto()
    engine = opened(parts)
    array = picture_batch(parts[1][0])
    read_only = array.copy()
    read_only.flags.writeable = False
    answer = engine.run({"x": array})["d0"]
    for other in (np.asfortranarray(array), array[:, :, ::-1, :][:, :, ::-1, :], read_only):
        np.testing.assert_allclose(engine.run({"x": other})["d0"], answer, atol=TOLERANCE)


def test_one_net_fits_no_other_byte_order(opened: Open) -> None:
    parts = rectified_proto()
    with pytest.raises(InputError, match="tensor 'x': expected float32"):
        opened(parts).run({"x": picture_batch(parts[1][0]).astype(">f4")})


@pytest.mark.parametrize("streams", [1, 3])
def test_answers_stay_with_their_questions(opened: Open, streams: int) -> None:
    engine = opened(doubled_proto(), streams=streams)

    def ask(value: int) -> tuple[int, float, float]:
        answer = engine.submit({"value": np.full((1, 1, 4, 4), value, np.float32)}).result(timeout=60)
        return value, float(answer["total"].mean()), float(np.abs(answer["difference"]).max())

    with ThreadPoolExecutor(6) as askers:
        for value, total, difference in askers.map(ask, range(120)):
            assert total == 2 * value
            assert difference == 0


def test_results_belong_to_the_caller_and_inputs_may_be_used_again(opened: Open) -> None:
    engine = opened(doubled_proto())
    value = np.ones((1, 1, 4, 4), np.float32)
    first = engine.run({"value": value})["total"]
    value[:] = 7
    second = engine.run({"value": value})["total"]
    assert (first == 2).all()
    assert (second == 14).all()
    first[:] = -1
    assert (engine.run({"value": value})["total"] == 14).all()
    assert not np.shares_memory(first, second)


def test_a_failure_comes_through_the_future(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = opened(doubled_proto())
    zeros = np.zeros((1, 1, 4, 4), np.float32)

    def fail(*_: object) -> None:
        raise RuntimeError("the device is on fire")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_infer", fail)  # type: ignore[attr-defined]
        future = engine.submit({"value": zeros})
        with pytest.raises(EngineError, match=r"inference: expected an answer; found the device is on fire"):
            future.result(timeout=60)
    assert (engine.run({"value": zeros})["total"] == 0).all()


def test_closing_waits_and_a_second_time_does_nothing(opened: Open) -> None:
    engine = opened(doubled_proto(), streams=2)
    ones = np.ones((1, 1, 4, 4), np.float32)
    futures = [engine.submit({"value": ones}) for _ in range(20)]
    engine.close()
    assert all(future.done() and (future.result()["total"] == 2).all() for future in futures)
    engine.close()
    with pytest.raises(EngineError, match="expected an open engine; found a closed one"):
        engine.submit({"value": ones})
    with pytest.raises(EngineError, match="found a closed one"):
        engine.run({"value": ones})


def test_closing_from_one_thread_while_others_submit(opened: Open) -> None:
    engine = opened(doubled_proto(), streams=2)
    ones = np.ones((1, 1, 4, 4), np.float32)
    wrong: list[BaseException] = []

    def ask() -> None:
        try:
            while True:
                assert (engine.run({"value": ones})["total"] == 2).all()
        except EngineError as error:
            if "a closed one" not in str(error):
                wrong.append(error)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    engine.close()
    for thread in threads:
        thread.join(timeout=60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize(
    ("inputs", "wording"),
    [
        (
            {"x": np.zeros((1, 3, 16, 17), np.float32)},
            r"expected float32 \(1, 3, 16, 16\) NCHW; found float32",
        ),
        ({"x": np.zeros((1, 3, 16, 16), np.float64)}, r"found float64 \(1, 3, 16, 16\)"),
        ({"x": np.zeros((3, 16, 16), np.float32)}, r"found float32 \(3, 16, 16\)"),
        ({"y": np.zeros((1, 3, 16, 16), np.float32)}, "inputs: expected arrays for x; found y"),
        ({}, "inputs: expected arrays for x; found none"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(opened: Open, inputs: dict[str, Any], wording: str) -> None:
    engine = opened(rectified_proto())
    with pytest.raises(InputError, match=wording):
        engine.submit(inputs)


def test_info_says_what_was_asked_and_what_runs(opened: Open, name: str) -> None:
    parts = rectified_proto()
    info = opened(parts, threads=1).info
    assert (info.engine, info.precision_asked, info.precision_executed) == (name, "force_float32", "float32")
    assert (info.threads, info.streams) == (1, 1)
    assert info.inputs == tuple(parts[1])
    assert info.outputs == tuple(parts[2])
    assert info.device.lower() == "cpu"
    assert info.version
    assert info.device_name


def test_more_streams_than_threads(opened: Open) -> None:
    engine = opened(doubled_proto(), streams=5, threads=2)
    assert (engine.info.streams, engine.info.threads) == (2, 2)
    ones = np.ones((1, 1, 4, 4), np.float32)
    futures = [engine.submit({"value": ones}) for _ in range(10)]
    assert all((future.result(timeout=60)["total"] == 2).all() for future in futures)


def test_a_missing_device_is_an_error_that_lists_what_is_there(opened: Open, name: str) -> None:
    asked = {"openvino": "npu", "cuda": "cpu/tensorfloat32"}.get(name, "tensorrt")
    with pytest.raises(EngineError, match=rf"engine '{name}', device '{asked}': expected one of .*(cpu|CPU)"):
        opened(rectified_proto(), device=asked)


def test_an_unknown_device_is_an_error(opened: Open) -> None:
    with pytest.raises((EngineError, InputError), match="device 'abacus'"):
        opened(rectified_proto(), device="abacus")


def test_a_device_by_name_in_any_case(opened: Open) -> None:
    assert (
        opened(rectified_proto(), device="cpu").info.device
        == opened(rectified_proto(), device="CPU").info.device
    )


def test_a_graph_that_the_engine_cannot_compile(opened: Open, name: str) -> None:
    spec = TensorSpec("x", (1, 1, 4, 4), "float32", "NCHW")
    result = TensorSpec("d0", (1, 1, 4, 4), "float32", "NCHW")
    unknown = helper.make_node("Frobnicate", ["x"], ["d0"], domain="example.unknown")
    proto = graph_proto([unknown], [spec], [result], {})
    proto.opset_import.append(helper.make_opsetid("example.unknown", 1))
    where = (
        "node 'd0': expected one of the operators"
        if name in ("native", "cuda")
        else "on (cpu|CPU), model .*: expected a"
    )
    with pytest.raises(EngineError, match=rf"engine '{name}'(, | ){where}"):
        opened((proto, [spec], [result]))


def test_shapes_that_contradict_are_refused(opened: Open) -> None:
    spec = TensorSpec("x", (1, 1, 4, 4), "float32", "NCHW")
    result = TensorSpec("d0", (1, 1, 4, 4), "float32", "NCHW")
    weights = {"w": np.zeros((1, 2, 3, 3), np.float32)}
    convolution = helper.make_node("Conv", ["x", "w"], ["d0"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    with pytest.raises(EngineError):
        engine = opened((graph_proto([convolution], [spec], [result], weights), [spec], [result]))
        engine.run({"x": np.zeros((1, 1, 4, 4), np.float32)})


def test_a_damaged_model_file_never_reaches_the_engine(name: str, tmp_path: Path) -> None:
    path = write_proto(rectified_proto(), tmp_path / "model.onnx")
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError):
        open_engine(path, engine=name)


@pytest.mark.parametrize("options", [{"threads": 0}, {"threads": -1}, {"streams": 0}, {"streams": -2}])
def test_options_of_less_than_one_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"expected a whole number of at least 1"):
        EngineOptions(**options)


def test_an_unknown_engine_is_told_the_near_name(tmp_path: Path) -> None:
    path = write_proto(rectified_proto(), tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"found 'OpenVINOO'. To mend: did you mean 'openvino'\?"):
        open_engine(path, engine="OpenVINOO")
    with pytest.raises(
        InputError,
        match="expected auto or one of native, cuda, openvino, onnxruntime, magicmind; found 'qqq'",
    ):
        open_engine(path, engine="qqq")


def test_an_engine_that_is_not_installed_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_proto(rectified_proto(), tmp_path / "model.onnx")
    monkeypatch.setattr("u2forge.engine.engine_entry.find_module", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"not installed. To mend: run `pip install 'openvino'`"):
        open_engine(path, engine="openvino")
    with pytest.raises(
        MissingDependencyError, match=r"engine 'native': .* To mend: run `pip install --force-re"
    ):
        open_engine(path, engine="native")
    with pytest.raises(
        MissingDependencyError, match=r"engine 'auto': expected one of native, cuda, openvino, onnx"
    ):
        open_engine(path)


def test_an_engine_that_does_not_load_says_why(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_proto(rectified_proto(), tmp_path / "model.onnx")

    def broken(package: str) -> None:
        raise OSError("libtbb.so.12: cannot open shared object file")

    monkeypatch.setattr("u2forge.engine.registry.importlib.import_module", broken)
    with pytest.raises(MissingDependencyError, match=rf"module {ENGINES[name].module} to load; found libtbb"):
        open_engine(path, engine=name)


def test_a_manifest_that_the_graph_does_not_fit_is_refused(opened: Open) -> None:
    proto, inputs, outputs = doubled_proto()
    larger = TensorSpec("value", (1, 1, 8, 8), "float32", "NCHW")
    with pytest.raises(ModelError, match=r"input 'value' as float32 \(1, 1, 8, 8\)"):
        opened((proto, [larger], outputs))
    bytes_out = TensorSpec("total", (1, 1, 4, 4), "uint8", "NCHW")
    with pytest.raises(ModelError, match="output 'total' as uint8"):
        opened((proto, inputs, [bytes_out, outputs[1]]))


def test_the_phases_of_an_inference_are_told(opened: Open) -> None:
    parts = rectified_proto()
    engine = opened(parts)
    assert set(engine.info.opening_ms) == {"engine", "contexts"}
    assert min(engine.info.opening_ms.values()) > 0
    phases = Phases()
    start = time.perf_counter()
    engine.run({"x": picture_batch(parts[1][0])}, phases=phases)
    wall_ms = (time.perf_counter() - start) * 1000
    told = [getattr(phases, field.name) for field in fields(phases)]
    assert phases.compute_ms is not None
    assert 0 < sum(one for one in told if one is not None) < wall_ms
    assert all(one is None or one >= 0 for one in told)


def test_running_after_close_is_refused_and_running_ones_end_first(opened: Open) -> None:
    parts = rectified_proto()
    engine = opened(parts, streams=2)
    inputs = {"x": picture_batch(parts[1][0])}
    right = engine.run(inputs)["d0"]
    infer = engine._infer  # type: ignore[attr-defined]
    begun, go_on = threading.Semaphore(0), threading.Event()

    def infer_later(*arguments: Any) -> Any:
        begun.release()
        assert go_on.wait(60)
        return infer(*arguments)

    engine._infer = infer_later  # type: ignore[attr-defined]
    with ThreadPoolExecutor(3) as callers:
        answers = [callers.submit(engine.run, inputs), engine.submit(inputs)]
        assert all(begun.acquire(timeout=60) for _ in answers)
        closing = callers.submit(engine.close)
        while not engine._closed:  # type: ignore[attr-defined]
            time.sleep(0.001)
        for call in (engine.run, engine.submit):
            with pytest.raises(EngineError, match="a closed one"):
                call(inputs)
        time.sleep(0.05)
        assert not closing.done()
        go_on.set()
        assert all(np.array_equal(answer.result(timeout=60)["d0"], right) for answer in answers)
        closing.result(timeout=60)
    engine.close()
    for call in (engine.run, engine.submit):
        with pytest.raises(EngineError, match="a closed one"):
            call(inputs)
