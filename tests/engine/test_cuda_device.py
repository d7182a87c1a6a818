"""Names of the engine cuda's devices, with GPUs that are not there, and why there is none."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch")

from u2forge.engine.cuda_device import find_device, gpu_devices, open_device  # noqa: E402
from u2forge.errors import EngineError, InputError  # noqa: E402


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A new one, and one from before bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: [(9, 0), (7, 5)][index])
    return gpu_devices()


def test_each_gpu_with_what_it_multiplies(two_gpus: list[str]) -> None:
    assert two_gpus == [
        "cuda:0",
        "cuda:0/bfloat16",
        "cuda:0/tensorfloat32",
        "cuda:1",
        "cpu",
        "cpu/bfloat16",
    ]


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("auto", "cuda:0"),
        ("cuda", "cuda:0"),
        ("CUDA/BFloat16", "cuda:0/bfloat16"),
        ("cuda:1", "cuda:1"),
        ("cuda:0/tensorfloat32", "cuda:0/tensorfloat32"),
        ("cpu", "cpu"),
    ],
)
def test_the_device_asked_for(two_gpus: list[str], asked: str, name: str) -> None:
    assert find_device(two_gpus, asked) == name


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:x y", "cuda/int8", "cpu:0/", "tensorrt", "cuda:-1"])
def test_names_of_no_device(two_gpus: list[str], asked: str) -> None:
    with pytest.raises(InputError, match="expected cuda, cuda:N or cpu, and behind it perhaps /bfloat16"):
        find_device(two_gpus, asked)


def test_what_a_gpu_does_not_multiply_is_no_silent_fallback(two_gpus: list[str]) -> None:
    with pytest.raises(EngineError, match="found a device that does not multiply bfloat16"):
        find_device(two_gpus, "cuda:1/bfloat16")
    with pytest.raises(EngineError, match=r"expected one of cuda:0, .*cuda:1; found no such GPU"):
        find_device(two_gpus, "cuda:2")


def test_without_a_gpu_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor is never taken in place of one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    devices = gpu_devices()
    assert devices == ["cpu", "cpu/bfloat16"]
    monkeypatch.setattr(torch.version, "cuda", None)
    for asked in ("auto", "cuda", "cuda:1"):
        with pytest.raises(EngineError, match="which is built without CUDA"):
            find_device(devices, asked)


@pytest.mark.parametrize(
    "said",
    [
        "The NVIDIA driver on your system is too old (found version 11040).",
        "Found no NVIDIA driver on your system.",
    ],
)
def test_what_pytorch_says_of_the_driver(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    def init() -> None:
        raise RuntimeError(f"{said}\nPlease update your GPU driver.")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(EngineError) as raised:
        find_device(gpu_devices(), "cuda")
    assert raised.value.found == said
    assert "driver" in raised.value.fix


def test_the_arithmetic_follows_the_model_and_the_name() -> None:
    found = {
        (name, mode): open_device(name).arithmetic(mode).name
        for name in ("cuda:0", "cuda:0/bfloat16", "cuda:0/tensorfloat32")
        for mode in ("force_float32", "force_float16", "qint8_mixed_float32", "qint16_mixed_float16")
    }
    assert [found["cuda:0", mode] for mode in ("force_float32", "force_float16")] == ["float32", "float16"]
    assert found["cuda:0/bfloat16", "force_float16"] == "bfloat16"
    assert found["cuda:0/bfloat16", "force_float32"] == "float32"
    assert found["cuda:0/tensorfloat32", "force_float32"] == "tensorfloat32"
    assert found["cuda:0/tensorfloat32", "qint8_mixed_float32"] == "tensorfloat32"
    assert found["cuda:0/tensorfloat32", "qint16_mixed_float16"] == "float16"
