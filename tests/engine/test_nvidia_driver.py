"""NVIDIA's driver: what it says of its GPUs, and its absence, which is a normal answer."""

from __future__ import annotations

import ctypes

import pytest
from nvidia_doubles import FIRST, SECOND, CudaLibrary

from u2forge.engine import nvidia_driver as module
from u2forge.engine.nvidia_driver import CudaGpu, NvidiaDriver, cuda_number, nvidia_driver


def use(monkeypatch: pytest.MonkeyPatch, library: CudaLibrary) -> None:
    monkeypatch.setattr(module.ctypes, "CDLL", lambda name: library)


def test_this_machine_answers() -> None:
    found = nvidia_driver()
    assert found is None or found.gpus or found.problem


def test_no_library_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(module.ctypes, "CDLL", missing)
    assert nvidia_driver() is None


def test_gpus_in_the_order_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, CudaLibrary("NVIDIA H200", "NVIDIA L4", version=12040))
    assert nvidia_driver() == NvidiaDriver(
        (12, 4), (CudaGpu("NVIDIA H200", FIRST), CudaGpu("NVIDIA L4", SECOND))
    )


@pytest.mark.parametrize(
    ("library", "problem"),
    [
        (CudaLibrary(failure=100), "it finds no GPU that this process may use"),
        (CudaLibrary(), "it finds no GPU that this process may use"),
        (CudaLibrary(failure=803), "its library and its kernel module are of different versions"),
        (CudaLibrary(failure=999), "it does not start (CUDA error 999)"),
    ],
)
def test_a_driver_without_gpus_says_why(
    monkeypatch: pytest.MonkeyPatch, library: CudaLibrary, problem: str
) -> None:
    use(monkeypatch, library)
    assert nvidia_driver() == NvidiaDriver((13, 0), (), problem)


@pytest.mark.parametrize(
    ("device", "number"),
    [
        ("cuda", 0),
        ("cuda:1", 1),
        ("tensorrt:02", 2),
        ("cuda:1/bfloat16", 1),
        ("cuda/bfloat16", 0),
        ("NVIDIA.1", 1),
        ("cuda:x", None),
        ("cuda:-1", None),
        ("cuda:1:2", None),
    ],
)
def test_the_number_in_a_name(device: str, number: int | None) -> None:
    assert cuda_number(device) == number
