"""ONNX Runtime on NVIDIA's GPUs, by a double: the right GPU, nothing left to the processor, copies where they belong,
errors that say what to do. None of it has run on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from nvidia_doubles import driver

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
from onnxruntime_doubles import Asked, use_gpu_build

from u2forge.engine.probe_model import write_probe_model
from u2forge.engine.protocol import Engine, EngineOptions, Phases
from u2forge.engine.registry import open_engine
from u2forge.engine.signed_integers import check_signed_integers
from u2forge.errors import EngineError
from u2forge.model_file.read import open_model_file
from u2forge.precision import PrecisionMode


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return use_gpu_build(monkeypatch, driver("NVIDIA H200", "NVIDIA L4"))


def opened(folder: Path, device: str, precision: PrecisionMode = "force_float32", **options: Any) -> Engine:
    path = folder / f"{precision}.onnx"
    write_probe_model(path, precision)
    return open_engine(path, engine="onnxruntime", options=EngineOptions(device=device, **options))


def picture() -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    return {"image": np.random.default_rng(0).random((1, 32, 32, 32), np.float32)}


@pytest.mark.parametrize(("device", "number", "name"), [("cuda", 0, "H200"), ("cuda:1", 1, "L4")])
def test_it_runs_on_the_gpu_asked_for(
    tmp_path: Path, gpus: Asked, device: str, number: int, name: str
) -> None:
    engine = opened(tmp_path, device)
    assert engine.info.device == f"cuda:{number}"
    assert engine.info.device_name == f"NVIDIA {name} (CUDAExecutionProvider)"
    ((provider, options),) = gpus.providers
    assert (provider, options["device_id"]) == ("CUDAExecutionProvider", str(number))
    assert gpus.configured == {"session.disable_cpu_ep_fallback": "1"}
    assert gpus.fallback == [0]
    phases = Phases()
    answer = engine.run(picture(), phases=phases)
    assert gpus.copies == [("in", "cuda", number), ("out", "cuda", number)]
    assert None not in (phases.host_to_device_ms, phases.compute_ms, phases.device_to_host_ms)
    engine.close()
    plain = opened(tmp_path, "tensorrt")
    np.testing.assert_array_equal(answer["d0"], plain.run(picture())["d0"])
    plain.close()


def test_a_caller_may_change_its_array_and_keep_the_answer(tmp_path: Path, gpus: Asked) -> None:
    engine = opened(tmp_path, "cuda")
    inputs = picture()
    first = engine.run(inputs)["d0"]
    kept = first.copy()
    inputs["image"] *= 2
    second = engine.run(inputs)["d0"]
    engine.close()
    np.testing.assert_array_equal(first, kept)
    assert np.abs(second - first).max() > 0.01


@pytest.mark.parametrize(
    ("device", "precision", "executed"),
    [
        ("cuda", "force_float32", "float32"),
        ("cuda", "force_float16", "tensorfloat32"),
        ("cuda", "qint8_mixed_float32", "float32"),
        ("tensorrt", "force_float32", "tensorfloat32"),
        ("tensorrt", "force_float16", "float16"),
    ],
)
def test_what_was_configured_is_what_is_reported(
    tmp_path: Path, gpus: Asked, device: str, precision: PrecisionMode, executed: str
) -> None:
    engine = opened(tmp_path, device, precision)
    assert (engine.info.precision_executed, engine.info.precision_counts) == (executed, {})
    engine.close()


@pytest.mark.parametrize("precision", ["qint8_mixed_float32", "qint16_mixed_float32"])
def test_tensorrt_is_not_given_unsigned_integers(
    tmp_path: Path, gpus: Asked, precision: PrecisionMode
) -> None:
    with pytest.raises(EngineError, match=r"signed 8-bit integers around zero.*found uint(8|16), at 'image'"):
        opened(tmp_path, "tensorrt", precision)
    assert not gpus.providers


@pytest.mark.parametrize(
    ("dtype", "zero", "fits"), [("int8", 0, True), ("int8", 3, False), ("int16", 0, False)]
)
def test_which_integers_tensorrt_knows(tmp_path: Path, dtype: str, zero: int, fits: bool) -> None:
    path = tmp_path / "model.onnx"
    write_probe_model(path, "qint8_mixed_float32")
    model = open_model_file(path)
    proto = onnx.load(path)
    for one in proto.graph.initializer:
        if one.name == "zero_point":
            one.CopyFrom(onnx.numpy_helper.from_array(np.array(zero, dtype), one.name))
    onnx.save(proto, path)
    if fits:
        check_signed_integers(model, where="here")
        return
    with pytest.raises(EngineError, match="a zero point other than 0" if dtype == "int8" else "int16, at"):
        check_signed_integers(model, where="here")


def test_what_tensorrt_compiled_is_kept_by_model(tmp_path: Path, gpus: Asked) -> None:
    gpus.written = {"engine_sm90.engine": b"compiled"}
    cache = tmp_path / "cache"
    for precision in ("force_float32", "force_float16", "force_float32"):
        opened(tmp_path, "tensorrt:1", precision, cache_folder=cache).close()  # type: ignore[arg-type]
    places = [Path(options["trt_engine_cache_path"]) for _, options in gpus.providers]
    assert places[0] == places[2] != places[1]
    assert {place.parent for place in places} == {cache / "onnxruntime"}
    assert (places[0] / "engine_sm90.engine.sha256").is_file()
    gpus.written = {}
    (places[0] / "engine_sm90.engine").write_bytes(b"compiles")
    opened(tmp_path, "tensorrt:1", cache_folder=cache).close()
    assert not (places[0] / "engine_sm90.engine").exists(), "a damaged engine would be loaded"


@pytest.mark.parametrize(("device", "folder"), [("cuda", "cache"), ("tensorrt", None)])
def test_nothing_is_kept_without_need(tmp_path: Path, gpus: Asked, device: str, folder: str | None) -> None:
    opened(tmp_path, device, cache_folder=None if folder is None else tmp_path / folder).close()
    assert not (tmp_path / "cache").exists()
    assert not [name for name in gpus.providers[0][1] if "cache" in name]


@pytest.mark.parametrize(
    "reason",
    [
        "CUDA failure 2: out of memory ; GPU=0 ; hostname=h ; file=cuda_allocator.cc ; line=44",
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : bfc_arena.cc:376 Failed to allocate memory for requested "
        "buffer of size 1677721600",
    ],
)
def test_too_little_memory(tmp_path: Path, gpus: Asked, reason: str) -> None:
    gpus.refusal = RuntimeError(reason)
    with pytest.raises(EngineError, match=r"expected memory for float32 \(1, 32, 32, 32\).*a smaller batch"):
        opened(tmp_path, "cuda")


def test_operators_that_a_gpu_leaves_to_the_processor_are_named(tmp_path: Path, gpus: Asked) -> None:
    gpus.refusal = RuntimeError(
        "[ONNXRuntimeError] : 1 : FAIL : This session contains graph nodes that are assigned to the default CPU EP, "
        "but fallback to CPU EP has been explicitly disabled by the user."
    )
    with pytest.raises(EngineError, match="CUDAExecutionProvider runs as a whole") as caught:
        opened(tmp_path, "cuda")
    assert "leaves to the processor: Conv, Relu" in caught.value.found or "FusedConv" in caught.value.found
    assert len(gpus.providers) == 2
    # TensorRT would compile for minutes to tell.
    with pytest.raises(
        EngineError, match=r"TensorrtExecutionProvider runs as a whole.*found operators that it"
    ):
        opened(tmp_path, "tensorrt")
    assert len(gpus.providers) == 3


def test_of_a_failure_of_cuda_its_words_remain(tmp_path: Path, gpus: Asked) -> None:
    gpus.refusal = RuntimeError(
        "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 std::conditional_t<THRW, void, Status> "
        "CUDA failure 46: all CUDA-capable devices are busy or unavailable ; GPU=-1 ; hostname=h ; line=355"
    )
    with pytest.raises(EngineError) as caught:
        opened(tmp_path, "cuda")
    assert caught.value.found == "CUDA failure 46: all CUDA-capable devices are busy or unavailable"
    assert "nvidia-smi" in caught.value.fix
