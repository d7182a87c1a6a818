"""The engine cuda on the processor: what runs, around the network too, and what it says where something is amiss."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")

from cuda_double import CudaDouble  # noqa: E402

import u2forge.engine.cuda_engine as cuda_engine  # noqa: E402
from small_model_files import doubled_proto, picture_batch, rectified_proto, write_proto  # noqa: E402
from u2forge.engine.cuda_contender import FusedCall  # noqa: E402
from u2forge.engine.cuda_device import GpuDevice, open_device  # noqa: E402
from u2forge.engine.cuda_engine import CudaEngine  # noqa: E402
from u2forge.engine.cuda_slot import _CapturedGraph  # noqa: E402
from u2forge.engine.probe_model import write_probe_model  # noqa: E402
from u2forge.engine.protocol import DeviceEngine, EngineOptions, Phases  # noqa: E402
from u2forge.engine.registry import choose_engine, open_engine  # noqa: E402
from u2forge.errors import EngineError  # noqa: E402
from u2forge.gpu.torch_network import TorchNetwork  # noqa: E402
from u2forge.model_file.read import read_manifest  # noqa: E402
from u2forge.precision import PRECISION_MODES, PrecisionMode  # noqa: E402


def opened(path: Path, **options: Any) -> CudaEngine:
    engine = open_engine(path, engine="cuda", options=EngineOptions(**{"device": "cpu", **options}))
    assert isinstance(engine, CudaEngine)
    return engine


@pytest.mark.parametrize("mode", PRECISION_MODES)
def test_the_precision_is_the_models_and_the_devices(mode: PrecisionMode, tmp_path: Path) -> None:
    path = tmp_path / "probe.onnx"
    write_probe_model(path, mode)
    half = mode.endswith("float16")
    for device, executed in (("cpu", "float16"), ("cpu/bfloat16", "bfloat16")):
        engine = opened(path, device=device)
        assert engine.info.precision_executed == (executed if half else "float32")
        assert engine.info.precision_counts == {engine.info.precision_executed: 4}
        assert engine.info.device == device
        engine.close()


def test_auto_does_not_take_it_unless_a_gpu_is_named(tmp_path: Path) -> None:
    path = write_proto(rectified_proto(), tmp_path / "model.onnx")
    assert choose_engine("auto", manifest=read_manifest(path)) != "cuda"
    assert choose_engine("auto", manifest=read_manifest(path), device="cpu") != "cuda"


def test_what_lies_around_the_network_runs_with_it(tmp_path: Path) -> None:
    engine = opened(write_proto(doubled_proto(), tmp_path / "model.onnx"))
    assert isinstance(engine, DeviceEngine)
    arrays = [np.full((4, 4), value, np.uint8) for value in (3,)]

    def before(tensors: Sequence[Any]) -> Mapping[str, Any]:
        return {"value": tensors[0].float().reshape(1, 1, 4, 4)}

    def after(outputs: Mapping[str, Any]) -> Sequence[Any]:
        assert list(outputs) == ["total", "difference"]
        return [outputs["total"].to(torch.uint8)[0, 0], outputs["difference"].amax()]

    total, difference = engine.submit_between(arrays, before=before, after=after).result(timeout=60)
    assert (total == 6).all()
    assert total.dtype == np.uint8
    assert difference.shape == ()
    engine.close()
    with pytest.raises(EngineError, match="found a closed one"):
        engine.submit_between(arrays, before=before, after=after)


def test_a_failure_around_the_network_comes_through_the_future(tmp_path: Path) -> None:
    engine = opened(write_proto(doubled_proto(), tmp_path / "model.onnx"))

    def fails(_: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(EngineError, match=r"engine 'cuda' on cpu, inference: .*illegal memory access"):
        engine.submit_between([], before=fails, after=fails).result(timeout=60)
    engine.close()


def test_closing_frees_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks: list[weakref.ref[Any]] = []

    class Watched(TorchNetwork):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            networks.append(weakref.ref(self))

    monkeypatch.setattr(cuda_engine, "TorchNetwork", Watched)
    engine = opened(write_proto(doubled_proto(), tmp_path / "model.onnx"))
    assert (engine.run({"value": np.ones((1, 1, 4, 4), np.float32)})["total"] == 2).all()
    assert networks[0]() is not None
    engine.close()
    gc.collect()
    assert networks[0]() is None


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> CudaDouble:
    """A GPU that is the processor behind a double of CUDA."""
    double = CudaDouble()
    double.install(monkeypatch)
    monkeypatch.setattr(cuda_engine, "gpu_devices", lambda: ["cuda:0", "cpu"])
    monkeypatch.setattr(
        cuda_engine,
        "open_device",
        lambda name: open_device(name) if name == "cpu" else _Doubled(name, torch.device("cpu"), None),
    )
    return double


class _Doubled(GpuDevice):
    is_gpu = True  # type: ignore[assignment]
    full_name = "a double"  # type: ignore[assignment]


@pytest.mark.parametrize("embedded", [False, True])
def test_a_gpu_gives_what_the_processor_gives(gpu: CudaDouble, embedded: bool, tmp_path: Path) -> None:
    """With PyTorch's operators, captured, and with our own steps beside them, which the double does not prefer."""
    parts = rectified_proto(batch=None, embedded=embedded)
    path = write_proto(parts, tmp_path / "model.onnx")
    (spec,) = parts[1]
    reference = opened(path)
    engine = open_engine(path, engine="cuda", options=EngineOptions(device="cuda", streams=2))
    assert (engine.info.device, engine.info.device_name) == ("cuda:0", "a double")
    for seed in range(6):
        inputs = {spec.name: picture_batch(spec, batch=3, seed=seed)}
        phases = Phases()
        found = engine.run(inputs, phases=phases)["d0"]
        np.testing.assert_allclose(found, reference.run(inputs)["d0"], atol=1e-6)
        assert None not in (phases.host_to_device_ms, phases.enqueue_ms, phases.device_to_host_ms)
    # Three slots take turns, one more than streams; from the second time on each tried both ways.
    assert gpu.log.count("capture") == 6
    engine.close()
    reference.close()


def test_our_own_steps_are_taken_where_they_are_faster(
    gpu: CudaDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = rectified_proto()
    path = write_proto(parts, tmp_path / "model.onnx")
    inputs = {"x": picture_batch(parts[1][0])}
    right = opened(path).run(inputs)["d0"]
    computed = FusedCall.__call__
    monkeypatch.setattr(
        FusedCall,
        "__call__",
        lambda call, tensors: {name: value + 1e-5 for name, value in computed(call, tensors).items()},
    )
    times_ms = iter([2.0, 1.0, 1.0, 2.0])
    monkeypatch.setattr(_CapturedGraph, "milliseconds", lambda graph: next(times_ms))
    engine = open_engine(path, engine="cuda", options=EngineOptions(device="cuda"))
    found = [engine.run(inputs)["d0"] for _ in range(6)]
    engine.close()
    # The mark shows who computed: of two slots the second, which captures first, takes our steps, the other does not.
    marked = [round(float((one - right).mean()) * 1e5) for one in found]
    assert marked == [0, 1, 0, 1, 0, 1]
