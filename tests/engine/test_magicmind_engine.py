"""The engine magicmind against a recorded double of Cambricon's SDK: who opens what, streams, failures, the end."""

from __future__ import annotations

import importlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import u2forge
from small_model_files import rectified_proto, write_proto
from u2forge.cli import mm_run
from u2forge.engine import availability
from u2forge.engine.availability import available_engines
from u2forge.engine.magicmind_runtime import find_device, under_our_names
from u2forge.engine.protocol import EngineOptions, Phases
from u2forge.engine.registry import ENGINES, check_engine, choose_engine, open_engine, profile_layers
from u2forge.errors import EngineError, InputError, MissingDependencyError, ModelError
from u2forge.magicmind.import_names import magicmind_names
from u2forge.model_file.read import read_manifest

SHAPE = (1, 3, 32, 48)
# The same graph in ONNX Runtime on both sides.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def portable(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portable") / "tiny.onnx"
    u2forge.build(tiny_checkpoint, out=path, input_height=32, input_width=48, batch_size="dynamic")
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs the model builds it: the double is there within tests only."""
    return tmp_path_factory.mktemp("built") / "tiny.mm"


@pytest.fixture
def model(magicmind_double: Any, tiny_checkpoint: Path, built: Path, tmp_path: Path) -> Path:
    if not built.exists():
        u2forge.build(tiny_checkpoint, out=built, target="mlu370", input_height=32, input_width=48)
        magicmind_double.calls.clear()
    shutil.copytree(built.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / built.name


@pytest.fixture
def no_other_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of engines opens models on each of them: test_availability.py is about the others."""
    monkeypatch.setattr(availability, "ENGINES", {"magicmind": ENGINES["magicmind"]})


def picture(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def opened(path: Path, **options: Any) -> u2forge.Engine:
    return open_engine(path, engine="magicmind", options=EngineOptions(**options))


def test_the_sdks_steps_in_order_and_what_is_known_of_them(model: Path, magicmind_double: Any) -> None:
    engine = opened(model, device="mlu:1")
    engine.run({"image": picture(0)})
    engine.close()
    engine.close()
    assert magicmind_double.names() == [
        "System",
        "active",
        "deserialize_from_file",
        "create_i_engine",
        "create_i_context",
        "create_queue",
        "create_inputs",
        "active",
        "from_numpy",
        "to",
        "enqueue",
        "sync",
        "~System",
    ]
    assert magicmind_double.of("active") == [(1,), (1,)]
    assert magicmind_double.of("create_i_engine") == [("MLU",)]
    assert magicmind_double.outlived == [], "all is freed before the System ends"
    info = engine.info
    assert (info.engine, info.device, info.precision_asked) == ("magicmind", "mlu:1", "force_float32")
    assert info.precision_executed == "force_float32 as built (the SDK does not report it)"
    assert info.device_name == "MLU:1 (the SDK does not report its name; not verified on hardware)"
    assert set(info.opening_ms) == {"engine", "contexts"}


def test_the_numbers_are_the_portable_models(model: Path, portable: Path) -> None:
    engine, reference = opened(model), open_engine(portable, engine="onnxruntime")
    phases = Phases()
    answer = engine.run({"image": picture(1)}, phases=phases)
    np.testing.assert_allclose(answer["d0"], reference.run({"image": picture(1)})["d0"], atol=TOLERANCE)
    told = [phases.host_to_device_ms, phases.enqueue_ms, phases.compute_ms, phases.device_to_host_ms]
    assert all(one is not None and one >= 0 for one in told)
    engine.close()
    reference.close()


def test_embedded_preprocessing_and_a_dynamic_batch_run(
    magicmind_double: Any, tiny_checkpoint: Path, portable: Path, tmp_path: Path
) -> None:
    path = tmp_path / "embedded.mm"
    options = {"embed_preprocessing": True, "batch_size": "dynamic", "input_height": 32, "input_width": 48}
    u2forge.build(tiny_checkpoint, out=path, target="mlu370", **options)  # type: ignore[arg-type]
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), np.uint8)
    pixels[:, 0, 0] = 255  # the brightest: both normalisations are the same
    engine, reference = opened(path), open_engine(portable, engine="onnxruntime")
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalized = ((pixels / 255 - mean) / deviation).astype(np.float32).transpose(0, 3, 1, 2)
    wanted = reference.run({"image": np.ascontiguousarray(normalized)})["d0"]
    np.testing.assert_allclose(engine.run({"image": pixels})["d0"], wanted, atol=1e-5)
    engine.close()
    reference.close()


def test_streams_have_a_context_and_a_queue_each(model: Path, magicmind_double: Any) -> None:
    engine = opened(model, streams=3)
    alone = [engine.run({"image": picture(seed)})["d0"] for seed in range(12)]
    futures = [engine.submit({"image": picture(seed)}) for seed in range(12)]
    with ThreadPoolExecutor(6) as threads:
        beside = list(threads.map(lambda seed: engine.run({"image": picture(seed)})["d0"], range(12)))
    for seed in range(12):
        np.testing.assert_allclose(futures[seed].result(timeout=60)["d0"], alone[seed], atol=TOLERANCE)
        np.testing.assert_allclose(beside[seed], alone[seed], atol=TOLERANCE)
    for name in ("create_i_context", "create_queue", "create_inputs"):
        assert len(magicmind_double.of(name)) == 3
    assert engine.info.streams == 3
    engine.close()
    assert magicmind_double.outlived == []
    with pytest.raises(EngineError, match="found a closed one"):
        engine.run({"image": picture(0)})


def test_two_engines_share_one_system(model: Path, magicmind_double: Any) -> None:
    first, second = opened(model), opened(model)
    first.close()
    assert magicmind_double.systems == 1
    second.run({"image": picture(0)})
    second.close()
    assert magicmind_double.systems == 0
    assert len(magicmind_double.of("System")) == 1


def test_answers_belong_to_the_caller(model: Path) -> None:
    engine = opened(model)
    first = engine.run({"image": picture(0)})["d0"]
    kept = first.copy()
    engine.run({"image": picture(1)})
    assert np.array_equal(first, kept)
    engine.close()


@pytest.mark.parametrize(
    "name", ["deserialize_from_file", "create_i_engine", "create_i_context", "create_queue"]
)
def test_a_failing_opening_is_an_error_and_leaves_the_system(
    name: str, model: Path, magicmind_double: Any
) -> None:
    magicmind_double.failing[name] = "firmware too old"
    words = "firmware too old" if name.startswith("deser") else "found None"
    with pytest.raises(EngineError, match=rf"MagicMind SDK, .*{name}.*{words}"):
        opened(model)
    assert magicmind_double.systems == 0


@pytest.mark.parametrize("name", ["enqueue", "sync"])
def test_a_failing_inference_is_an_error_and_the_next_one_runs(
    name: str, model: Path, magicmind_double: Any
) -> None:
    engine = opened(model)
    magicmind_double.failing[name] = "the queue is on fire"
    with pytest.raises(EngineError, match=rf"inference: .*\.{name}: \[INTERNAL\] the queue is on fire"):
        engine.run({"image": picture(0)})
    magicmind_double.failing.clear()
    assert engine.run({"image": picture(0)})["d0"].shape == (1, 1, 32, 48)
    engine.close()


@pytest.mark.usefixtures("no_other_engine")
def test_a_system_that_does_not_start(model: Path, magicmind_double: Any) -> None:
    magicmind_double.failing["System"] = "no driver"
    with pytest.raises(EngineError, match="SDK, System: expected it to start; found no driver"):
        opened(model)
    status = available_engines()[-1]
    assert not status.available
    assert "no driver" in str(status.reason)
    magicmind_double.failing.clear()
    opened(model).close()


def test_no_card(model: Path, magicmind_double: Any) -> None:
    magicmind_double.devices = 0
    with pytest.raises(EngineError, match="expected an MLU card; found none that the SDK counts"):
        opened(model)


def test_threads_are_refused(model: Path) -> None:
    with pytest.raises(InputError, match="'threads': expected none"):
        opened(model, threads=2)


def test_a_damaged_file_reaches_no_sdk(model: Path, magicmind_double: Any) -> None:
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(ModelError, match=r"expected content of sha256 .* was damaged"):
        opened(model)
    assert magicmind_double.calls == []


def test_renamed_tensors_are_taken_in_their_order(model: Path, magicmind_double: Any) -> None:
    magicmind_double.renamed = True
    engine = opened(model)
    assert list(engine.run({"image": picture(0)})) == ["d0"]
    engine.close()


def test_our_names_come_by_name_first() -> None:
    a, b = ("a", "float32", (1,)), ("b", "float32", (2,))
    assert under_our_names([b, a], ["a", "b"]) == [b, a]
    assert under_our_names([("x", "float32", (1,)), b], ["a", "b"]) == [a, b]
    assert under_our_names([a], ["a", "b"]) == [a]


def test_a_model_for_one_target_runs_on_no_other_engine(model: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"expected a model for the target portable; found one for mlu370"):
        open_engine(model, engine="onnxruntime")
    ordinary = write_proto(rectified_proto(), tmp_path / "small.onnx")
    with pytest.raises(EngineError, match=r"expected a model for the target mlu370; .*build --target mlu370"):
        opened(ordinary)


def test_auto_takes_it_for_its_own_models_only(model: Path, portable: Path, tmp_path: Path) -> None:
    assert choose_engine("auto", manifest=read_manifest(model)) == "magicmind"
    assert choose_engine("auto", manifest=read_manifest(portable)) != "magicmind"
    assert choose_engine("auto") != "magicmind"
    check_engine("auto", device="mlu")
    check_engine("auto", device="mlu:1")
    engine = open_engine(model)
    assert engine.info.engine == "magicmind"
    engine.close()


def test_layers_are_not_timed(model: Path) -> None:
    with pytest.raises(EngineError, match="leave --profile out"):
        profile_layers(
            model, engine="magicmind", options=EngineOptions(), inputs={"image": picture(0)}, inferences=1
        )


@pytest.mark.usefixtures("no_other_engine")
def test_the_list_of_engines(magicmind_double: Any) -> None:
    status = available_engines()[-1]
    assert [device.device for device in status.devices] == ["mlu:0", "mlu:1"]
    assert str(status).startswith(
        "magicmind of unknown version (for models of `u2forge build --target mlu370`"
    )
    assert "not verified on hardware" in str(status)


@pytest.mark.usefixtures("no_other_engine")
def test_the_list_of_engines_without_it() -> None:
    status = available_engines()[-1]
    assert not ENGINES["magicmind"].installed
    assert status.reason == "the package magicmind.python.runtime is not installed"
    assert "To mend: install Cambricon's MagicMind SDK for Python" in str(status)
    with pytest.raises(MissingDependencyError, match="not on the package index, or choose another engine"):
        check_engine("magicmind", device="auto")


def test_our_own_magicmind_is_not_taken_for_it(magicmind_double: Any) -> None:
    with magicmind_names():
        importlib.import_module("magicmind.python.runtime")
        assert not ENGINES["magicmind"].installed
    assert ENGINES["magicmind"].installed


def test_names_of_devices() -> None:
    assert [find_device(["mlu:0", "mlu:1"], name) for name in ("auto", "MLU", "mlu:01")] == [
        "mlu:0",
        "mlu:0",
        "mlu:1",
    ]
    for name in ("cpu", "mlu:x", "1"):
        with pytest.raises(InputError, match="expected auto, mlu or mlu:NUMBER"):
            find_device(["mlu:0"], name)


@pytest.mark.parametrize("scenario", ["latency", "pipeline"])
def test_perf_measures_it(scenario: Any, model: Path, photos: Path) -> None:
    inputs = (photos,) if scenario == "pipeline" else ()
    result = u2forge.perf(
        model, engine=("magicmind",), scenario=scenario, iterations=3, duration=0.05, warmup=1.0, input=inputs
    )
    (row,) = result.rows
    assert (row.status, row.engine) == ("complete", "magicmind")
    assert "not verified on hardware" in row.device_name


def test_infer_makes_the_portable_models_masks(
    model: Path, portable: Path, photos: Path, tmp_path: Path
) -> None:
    for path, engine in ((model, "magicmind"), (portable, "onnxruntime")):
        u2forge.infer(photos, out=tmp_path / engine, model=path, engine=engine)
    masks = sorted((tmp_path / "onnxruntime").rglob("*.png"))
    assert len(masks) == 5
    for mask in masks:
        same = tmp_path / "magicmind" / mask.relative_to(tmp_path / "onnxruntime")
        assert same.read_bytes() == mask.read_bytes()


def test_mm_run_reports_it(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--magicmind_model", str(model), "--engine", "magicmind", "--devices", "0", "--threads", "2"]
    assert mm_run.main([*words, "--iterations", "4", "--duration", "50", "--warmup", "1"]) == 0
    report = capsys.readouterr().out
    assert "Throughput (qps)" in report
    assert "not verified on hardware" in report
