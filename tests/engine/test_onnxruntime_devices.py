"""ONNX Runtime's devices by name: each GPU once, and errors that say what is there and what brings the rest."""

from __future__ import annotations

import pytest
from nvidia_doubles import driver

from u2forge.engine import onnxruntime_devices as module
from u2forge.engine.nvidia_driver import NvidiaDriver
from u2forge.engine.onnxruntime_devices import PROVIDERS, device_of, find_device, onnxruntime_devices
from u2forge.errors import EngineError, InputError

ALL_OF_NVIDIA = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("found", "devices"),
    [
        (driver("H200", "L4"), ["cpu", "cuda:0", "cuda:1", "tensorrt:0", "tensorrt:1"]),
        (driver("H200"), ["cpu", "cuda:0", "tensorrt:0"]),
        # Listed all the same, so that whoever asks for it is told the reason.
        (driver(problem="it finds no GPU"), ["cpu", "cuda", "tensorrt"]),
        (None, ["cpu", "cuda", "tensorrt"]),
    ],
)
def test_each_gpu_is_listed_once(
    monkeypatch: pytest.MonkeyPatch, found: NvidiaDriver | None, devices: list[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ALL_OF_NVIDIA)
    monkeypatch.setattr(module, "nvidia_driver", lambda: found)
    assert onnxruntime_devices() == devices


def test_a_build_without_gpus_does_not_ask_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(module, "nvidia_driver", lambda: pytest.fail("the driver was loaded"))
    assert onnxruntime_devices() == ["cpu"]


@pytest.mark.parametrize(
    ("present", "asked", "name"),
    [
        (["cpu"], "auto", "cpu"),
        (["cpu", "cuda:0", "cuda:1"], "CUDA", "cuda:0"),
        (["cpu", "cuda:0", "cuda:1"], "cuda:1", "cuda:1"),
        (["cpu", "cuda:0", "cuda:1"], "cuda:01", "cuda:1"),
        (["cpu", "cuda", "tensorrt"], "cuda", "cuda"),
        (["cpu", "cuda", "tensorrt"], "tensorrt:0", "tensorrt"),
        (["cpu", "cuda", "tensorrt"], "cuda:3", "cuda:3"),
        (["cpu", "directml"], "DirectML", "directml"),
    ],
)
def test_a_device_by_its_name(present: list[str], asked: str, name: str) -> None:
    assert find_device(present, asked) == name
    assert device_of(name).provider == PROVIDERS[name.partition(":")[0]]


def test_the_parts_of_a_device() -> None:
    assert device_of("tensorrt:1") == ("tensorrt:1", "tensorrt", 1)
    assert device_of("cuda").number == 0


@pytest.mark.parametrize("asked", ["abacus", "cuda:x", "cuda:", "cpu:1", "directml:1", "cuda:1:2"])
def test_an_unknown_name(asked: str) -> None:
    if asked == "cuda:":  # as a bare name
        assert find_device(["cuda"], asked) == "cuda"
        return
    with pytest.raises(
        InputError, match="one of cpu, cuda, cuda:NUMBER, tensorrt, tensorrt:NUMBER, coreml, dire"
    ):
        find_device(["cpu", "cuda"], asked)


def test_a_missing_device_says_what_brings_it() -> None:
    with pytest.raises(EngineError, match=r"no CUDAExecutionProvider in it.*onnxruntime-gpu\[cuda,cudnn\]"):
        find_device(["cpu"], "cuda")
    with pytest.raises(EngineError, match=r"one of cpu, cuda:0.*no such GPU. To mend: choose one of them"):
        find_device(["cpu", "cuda:0"], "cuda:1")
